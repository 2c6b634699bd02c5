// tests/fuzz/request_fuzz.cc - a connection's requests, head and body: what is read from the same
// bytes does not depend on how they were cut.
//
// Input: the number of cuts, two bytes for each, and the bytes of the connection.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "backends/http/chunked.h"
#include "backends/http/head.h"

namespace {

using namespace batchproxy;
using namespace batchproxy::http;

constexpr std::uint64_t kMaxBody = 4096;  // bytes; small, so that the fuzzer gets there

// All that a reader makes of a connection's bytes, written down.
struct Outcome {
  std::string story;
  std::size_t messages = 0;
  std::size_t consumed = 0;  // up to the end of the last whole message
  bool operator==(const Outcome&) const = default;
};

// Reads messages from bytes that come piece by piece, as the proxy's sessions do.
class Reader {
 public:
  void feed(std::string_view piece) {
    if (broken_) return;
    bytes_ += piece;
    while (!broken_ && advance()) {
    }
  }
  Outcome take() { return std::move(outcome_); }

 private:
  std::string_view unread() const { return std::string_view(bytes_).substr(pos_); }

  // One step; false when it takes more bytes.
  bool advance() {
    if (!in_body_) return read_head();
    return head_->fields.framing.chunked ? read_chunks() : read_counted();
  }

  bool read_head() {
    const std::string_view bytes = unread();
    const auto end = find_head_end(bytes, searched_);
    if (!end) {
      searched_ = bytes.size();
      if (const auto error = check_partial_head(bytes, kRequestLimits)) fail(error->code);
      return false;
    }
    searched_ = 0;
    if (*end > bytes.size()) std::abort();
    const std::string_view text = bytes.substr(0, *end);
    if (const auto error = parse_request_head(text, kRequestLimits, *head_)) {
      fail(error->code);
      return false;
    }
    const Framing& framing = head_->fields.framing;
    if (framing.chunked && framing.content_length) std::abort();  // two readings of the end
    if (head_->target.empty() || head_->method.empty()) std::abort();
    if (text.size() > kRequestLimits.head + 2) std::abort();
    tell_head();
    pos_ += *end;
    in_body_ = true;
    chunks_ = {};
    body_.clear();
    if (framing.content_length > kMaxBody) fail(Errc::kBodyTooLarge);
    return true;
  }

  void tell_head() {
    std::string& story = outcome_.story;
    story.append(head_->method).append(" ").append(head_->target);
    story += head_->keep_alive() ? " keep" : " close";
    story += std::to_string(head_->minor_version) + (head_->expects_continue ? " expects" : "");
    for (const Field& field : head_->fields) {
      story.append("\n").append(field.name).append("=").append(field.value);
    }
  }

  bool read_counted() {
    const auto length = static_cast<std::size_t>(head_->fields.framing.content_length.value_or(0));
    if (unread().size() < length) return false;
    body_ = unread().substr(0, length);
    pos_ += length;
    end_message();
    return true;
  }

  bool read_chunks() {
    if (!chunks_.done()) {
      if (unread().empty()) return false;
      const auto step = chunks_.next(unread());
      if (!step) return fail(Errc::kBadHttp), false;
      if (step->consumed == 0 || step->data.size() > step->consumed) std::abort();
      body_ += step->data;
      pos_ += step->consumed;
      if (body_.size() + chunks_.pending() > kMaxBody) fail(Errc::kBodyTooLarge);
      return true;
    }
    end_message();
    return true;
  }

  void end_message() {
    outcome_.story += "\nbody: " + body_ + "\n";
    ++outcome_.messages;
    outcome_.consumed = pos_;
    in_body_ = false;
    if (!head_->keep_alive()) broken_ = true;
  }

  void fail(Errc code) {
    outcome_.story += "\nerror " + std::string(describe(code).code);
    broken_ = true;
  }

  std::string bytes_;
  std::size_t pos_ = 0;
  std::size_t searched_ = 0;
  std::unique_ptr<RequestHead> head_ = std::make_unique<RequestHead>();
  ChunkDecoder chunks_;
  std::string body_;
  bool in_body_ = false;
  bool broken_ = false;
  Outcome outcome_;
};

// `cuts` ascend. Each piece lies in memory of its own, so that reading past it is noticed.
Outcome read(std::string_view bytes, const std::vector<std::size_t>& cuts) {
  Reader reader;
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    reader.feed(bytes.substr(from, cut - from));
    from = cut;
  }
  reader.feed(bytes.substr(from));
  return reader.take();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::size_t count = size > 0 ? data[0] % 8 : 0;
  const std::size_t begin = 1 + 2 * count;
  if (size < begin) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + begin), size - begin);
  std::vector<std::size_t> cuts;
  for (std::size_t i = 1; i < begin; i += 2) {
    cuts.push_back((std::size_t{data[i]} * 256 + data[i + 1]) % (bytes.size() + 1));
  }
  std::ranges::sort(cuts);

  const Outcome whole = read(bytes, {});
  if (read(bytes, cuts) != whole) std::abort();
  if (bytes.size() > 2048) return 0;  // byte by byte costs its square
  cuts.clear();
  for (std::size_t i = 1; i < bytes.size(); ++i) cuts.push_back(i);
  if (read(bytes, cuts) != whole) std::abort();
  return 0;
}
