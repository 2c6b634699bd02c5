// proxy/request/reply_writer.cc - see reply_writer.h.
#include "proxy/request/reply_writer.h"

#include <array>
#include <charconv>
#include <utility>

namespace batchproxy {

namespace {

// "1f\r\n": the size line of a chunk.
std::string_view chunk_size_line(std::size_t size, std::array<char, 20>& storage) {
  char* end = std::to_chars(storage.data(), storage.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {storage.data(), static_cast<std::size_t>(end - storage.data())};
}

}  // namespace

ReplyWriter::UnsentPtr ReplyWriter::send_answer(const AnswerHead& from, std::string_view body,
                                                const Provenance& who) {
  if (record_ != nullptr) record(from, body, who);
  compose_head_into(thread_.scratch.text, from, body.size(), context(), &who);
  const std::string_view head = thread_.scratch.text;
  const std::array<asio::const_buffer, 2> answer{asio::const_buffer(head.data(), head.size()),
                                                 asio::const_buffer(body.data(), body.size())};
  client_.on_peer_gone(nullptr);
  began_ = true;
  trace_.status = static_cast<std::uint16_t>(from.status);
  trace_.replayed = who.replayed;
  const std::size_t sent = client_.try_write(answer);
  trace_.sent += sent;
  if (sent == head.size() + body.size()) return nullptr;
  return std::make_unique<const Unsent>(Unsent{std::string(head), body, sent});
}

// A coded body is left out: it could be replayed only to a client that takes its coding.
void ReplyWriter::record(const AnswerHead& from, std::string_view body, const Provenance& who) {
  if (from.status != 200 || !from.content_encoding.empty()) return;
  *record_ = {std::string(from.content_type),
              std::string(body),
              std::string(who.backend),
              who.batch,
              who.batch_prompts,
              who.attempts,
              who.apportioned_usage};
}

Task<void> ReplyWriter::write_rest(const Unsent& unsent) {
  const std::array<asio::const_buffer, 2> answer{
      asio::const_buffer(unsent.head.data(), unsent.head.size()),
      asio::const_buffer(unsent.body.data(), unsent.body.size())};
  if (trace_.first_byte == TimePoint{}) trace_.first_byte = std::chrono::steady_clock::now();
  const bool sent = co_await client_.write_rest(answer, unsent.sent, thread_.settings.write_stall);
  if (sent) trace_.sent += unsent.head.size() + unsent.body.size() - unsent.sent;
}

Finish ReplyWriter::finish_answered(const AnswerHead& answer, std::uint32_t prompts) {
  if (!client_.is_open()) return Finish::kClientGone;
  const Finish finish = finish_of_status(answer.status);
  if (finish == Finish::kOk) thread_.metrics.prompts_answered.add(prompts);
  return finish;
}

std::string ReplyWriter::compose_stream_head(const AnswerHead& from, const Provenance& who) {
  trace_.status = static_cast<std::uint16_t>(from.status);
  if (!is_chunked()) keep_alive_ = false;  // only the connection's end can mark the body's
  return compose_head(from, std::nullopt, context(), &who);
}

ReplyWriter::UnsentPtr ReplyWriter::send_chunk(std::string_view bytes, std::string_view head) {
  std::array<char, 20> storage;
  const std::string_view size = is_chunked() ? chunk_size_line(bytes.size(), storage) : "";
  const std::string_view end = is_chunked() ? "\r\n" : "";
  const std::array<asio::const_buffer, 4> chunk{asio::const_buffer(head.data(), head.size()),
                                                asio::const_buffer(size.data(), size.size()),
                                                asio::const_buffer(bytes.data(), bytes.size()),
                                                asio::const_buffer(end.data(), end.size())};
  if (trace_.first_byte == TimePoint{}) trace_.first_byte = std::chrono::steady_clock::now();
  began_ = true;
  const std::size_t sent = client_.try_write(chunk);
  trace_.sent += sent;
  if (sent == head.size() + size.size() + bytes.size() + end.size()) return nullptr;
  std::string whole(head);
  whole.append(size).append(bytes).append(end);
  return std::make_unique<const Unsent>(Unsent{std::move(whole), {}, sent});
}

Task<bool> ReplyWriter::write_last_chunk() {
  return write(is_chunked() ? "0\r\n\r\n" : "");
}

Task<bool> ReplyWriter::write(std::string_view bytes) {
  began_ = true;
  trace_.sent += bytes.size();
  return client_.write(bytes, thread_.settings.write_stall);
}

Task<Finish> ReplyWriter::refuse(const Error& error) {
  thread_.metrics.count_error(error.code);
  trace_.refuse(error.code);
  client_.on_peer_gone(nullptr);
  return write_refusal(compose_error(error, context()), finish_of(error.code));
}

Task<Finish> ReplyWriter::write_refusal(std::string answer, Finish finish) {
  const bool sent = co_await write(answer);
  co_return sent ? finish : Finish::kClientGone;
}

// What is told to the client here is what happens to its connection afterwards.
ReplyContext ReplyWriter::context() {
  if (thread_.published.draining) keep_alive_ = false;
  thread_.scratch.id_text.clear();
  request_.append_shown_id(thread_.scratch.id_text);
  return {thread_.scratch.id_text, request_.minor_version, keep_alive_, request_.cors_lines(),
          request_.route->errors};
}

}  // namespace batchproxy
