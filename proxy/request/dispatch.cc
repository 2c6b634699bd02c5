// proxy/request/dispatch.cc - see dispatch.h.
#include "proxy/request/dispatch.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "backends/json/form_scan.h"
#include "proxy/request/ticket_facts.h"
#include "proxy/wire/failure.h"

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

Dispatch::Dispatch(IoThread& thread, Connection& client, const ClientRequest& request)
    : thread_(thread),
      client_(client),
      request_(request),
      phase_(thread.metrics),
      keep_alive_(request.keep_alive) {
  thread_.metrics.received.add();
}

Task<bool> Dispatch::run() {
  Finish finish = Finish::kBackendError;
  bool failed = false;
  try {
    std::optional<Task<Finish>> otherwise = prepare();
    if (otherwise) {
      finish = co_await *std::move(otherwise);
    } else {
      const Job::Ending ending = co_await job_->run();
      finish = co_await answer(ending);
    }
  } catch (const std::exception& exception) {
    spdlog::error("internal error in request {}: {}", request_.id.text(), exception.what());
    failed = true;
  }
  if (failed && !began_answer_) {
    static const Error broken{Errc::kInternal,
                              "An internal error of batchproxy. Its log says more."};
    finish = co_await refuse(broken);
  } else if (failed) {
    keep_alive_ = false;
  }
  client_.on_peer_gone(nullptr);
  thread_.metrics.count_finish(finish);
  if (finish == Finish::kOk) {
    thread_.metrics.latency.observe(std::chrono::steady_clock::now() - request_.arrival);
  }
  co_return client_.is_open() && keep_alive_;
}

// Makes the job of a request that goes out whole, or says what is to be done instead. No
// coroutine: nothing of what it looks at is kept while the request waits.
std::optional<Task<Finish>> Dispatch::prepare() {
  if (thread_.shutting_down) return refuse(Errc::kShuttingDown);
  const Result<BodyScan> scanned = scan();
  if (!scanned) return refuse(scanned.error());
  const bool known = !thread_.poison->empty() &&
                     thread_.poison->contains(request_.content_key(), request_.arrival);
  if (known) return refuse(Errc::kKnownPoison);
  Ticket like;
  if (const auto error = describe(*scanned, like)) {
    const bool may_be_new = error->code == Errc::kUnknownModel && !std::exchange(has_looked_, true);
    return may_be_new ? look_for_model() : refuse(*error);
  }
  client_.on_peer_gone([this] { on_client_gone(); });
  if (client_gone_) return answer_cancelled();  // it had left before we looked
  const std::uint32_t piece = thread_.settings.bodies.list_piece;
  const bool list = request_.route->body == BodyKind::kCompletion && scanned->prompts > 1 &&
                    !scanned->streaming && scanned->choices > 0 && piece > 0 &&
                    (like.backends.size() > 1 || scanned->prompts > piece);
  if (!list) {
    prepare_whole(*scanned, like);
    return std::nullopt;
  }
  if (const auto error = prepare_list(*scanned, like)) return refuse(*error);
  return serve_list();
}

// An engine may have loaded it since it was last asked what it serves.
Task<Finish> Dispatch::look_for_model() {
  thread_.refresh_models([this] { asio::post(thread_.io, [this] { looked_.wake(); }); });
  co_await looked_.wait();
  std::optional<Task<Finish>> otherwise = prepare();
  if (otherwise) co_return co_await *std::move(otherwise);
  const Job::Ending ending = co_await job_->run();
  co_return co_await answer(ending);
}

Result<BodyScan> Dispatch::scan() {
  if (!request_.body.empty() && request_.scannable) {
    if (request_.route->body == BodyKind::kForm) return scan_of_form();
    return thread_.scanner.scan(request_.body, request_.route->body);
  }
  if (request_.route->method == "POST" && request_.body.empty()) {
    return Error{Errc::kInvalidJson, "The request has no body."};
  }
  return BodyScan{};
}

BodyScan Dispatch::scan_of_form() const {
  const FormScan form = scan_form(value_of(request_.fields, "content-type"), request_.body);
  BodyScan scan;
  scan.model = form.model;
  scan.streaming = form.streaming;
  return scan;
}

// Fills in what all tickets of the request have in common.
std::optional<Error> Dispatch::describe(const BodyScan& scan, Ticket& ticket) {
  const ModelTable& models = *thread_.models;
  ticket.backends = models.find(scan.model);
  // While a backend has not said what it serves, a name that nobody knows may still become known.
  if (ticket.backends.empty() && models.complete()) {
    return Error{Errc::kUnknownModel,
                 "The model `" + std::string(scan.model) +
                     "` does not exist. Served here: " + models.names() + ".",
                 "model"};
  }
  model_key_ = text_key(scan.model);
  ticket.model = model_key_;
  ticket.routes = models.version();
  ticket.arrival = request_.arrival;
  ticket.deadline = request_.arrival + request_.timeout;
  ticket.prompts = scan.prompts;
  ticket.streaming = scan.streaming;
  ticket.immediate = request_.route->immediate;
  ticket.client = request_.client;
  return std::nullopt;
}

void Dispatch::on_client_gone() {
  client_gone_ = true;
  cancel_jobs(/*client_left=*/true);
}

void Dispatch::cut_short() {
  keep_alive_ = false;
  cancel_jobs();
}

void Dispatch::cancel_jobs(bool client_left) {
  if (job_) job_->cancel(client_left);
  if (!list_) return;
  for (auto& piece : list_->pieces) piece->job->cancel(client_left);
}

// Its client has left, unless we are about to.
Task<Finish> Dispatch::answer_cancelled() {
  if (client_gone_) co_return Finish::kClientGone;
  co_return co_await refuse(Errc::kShuttingDown);
}

// --- a request that goes out whole --------------------------------------------------------------

void Dispatch::prepare_whole(const BodyScan& scan, const Ticket& like) {
  Job::Load load{&request_, {}, scan.form == PromptForm::kTokens};
  if (!scan.prompt.empty()) load.parts = BodyParts::cut(request_.body, scan.prompt);
  job_.emplace(thread_, phase_, load);
  describe_prompt(thread_.settings.bodies, scan, model_key_, request_, like, load.parts,
                  job_->ticket());
}

Task<Finish> Dispatch::answer(Job::Ending ending) {
  switch (ending) {
    case Job::Ending::kAnswer:
      return answer_with(*job_);
    case Job::Ending::kStream:
      return answer_stream();
    case Job::Ending::kFailed:
      return refuse(job_->error());
    case Job::Ending::kCancelled:
      break;
  }
  return answer_cancelled();
}

Task<Finish> Dispatch::answer_with(const Job& job) {
  thread_.metrics.answered[job.backend().id].add();
  const Provenance who = provenance(job);
  const std::unique_ptr<Unsent> unsent = send_answer(job.answer(), job.body(), who);
  if (unsent) co_await write_rest(*unsent);
  co_return finish_answered(job.answer(), job.ticket().prompts);
}

Task<Finish> Dispatch::answer_stream() {
  Finish finish = Finish::kBackendError;
  try {
    finish = co_await answer_streaming(*job_);
  } catch (...) {
    job_->end_stream(false);
    throw;
  }
  job_->end_stream(finish == Finish::kOk);
  co_return finish;
}

// Nothing is left when the socket has taken all at once, as it nearly always does.
std::unique_ptr<Dispatch::Unsent> Dispatch::send_answer(const AnswerHead& from,
                                                        std::string_view body,
                                                        const Provenance& who) {
  compose_head_into(thread_.text, from, body.size(), context(), &who);
  const std::string_view head = thread_.text;
  const std::array<asio::const_buffer, 2> answer{asio::const_buffer(head.data(), head.size()),
                                                 asio::const_buffer(body.data(), body.size())};
  client_.on_peer_gone(nullptr);
  began_answer_ = true;
  const std::size_t sent = client_.try_write(answer);
  if (sent == head.size() + body.size()) return nullptr;
  return std::make_unique<Unsent>(Unsent{std::string(head), body, sent});
}

Task<void> Dispatch::write_rest(const Unsent& unsent) {
  const std::array<asio::const_buffer, 2> answer{
      asio::const_buffer(unsent.head.data(), unsent.head.size()),
      asio::const_buffer(unsent.body.data(), unsent.body.size())};
  co_await client_.write_rest(answer, unsent.sent, thread_.settings.write_stall);
}

// How a request ends whose answer has been written, or could not be.
Finish Dispatch::finish_answered(const AnswerHead& answer, std::uint32_t prompts) {
  if (!client_.is_open()) return Finish::kClientGone;
  const Finish finish = finish_of_status(answer.status);
  if (finish == Finish::kOk) thread_.metrics.prompts_answered.add(prompts);
  return finish;
}

// Every event goes out as it comes in: clients measure the time between tokens.
Task<Finish> Dispatch::answer_streaming(Job& job) {
  UpstreamCall& call = job.stream();
  const AnswerHead& from = call.head();
  const bool chunked = request_.minor_version == 1;
  if (!chunked) keep_alive_ = false;  // only the connection's end can mark the body's
  const Provenance who = provenance(job);
  const std::string head = compose_head(from, std::nullopt, context(), &who);
  if (const bool sent = co_await write_client(head); !sent) co_return Finish::kClientGone;
  const bool is_events = from.content_encoding.empty();
  EventCutter events;
  while (true) {
    while (call.must_wait(request_.timeout)) co_await call.wait();
    const auto piece = call.piece();
    thread_.lane->on_piece(job.backend().id);
    if (client_gone_) co_return Finish::kClientGone;
    if (!piece) {
      Error error = error_of(Errc::kShuttingDown);
      if (!thread_.shutting_down) {
        error = error_of(call.failure(), job.backend().name, call.fault());
        thread_.metrics.broken_streams.add();
        thread_.metrics.count_failed_attempt(job.backend().id, call.failure());
        thread_.report_failure(job.backend().id, false);
      }
      co_await end_broken_stream(error, is_events && events.between_events());
      co_return Finish::kBackendError;
    }
    const bool ended = piece->empty();
    const std::string_view bytes = !is_events ? *piece
                                   : ended    ? events.rest()
                                              : events.take(*piece);
    if (!bytes.empty()) {
      const std::unique_ptr<Unsent> unsent = send_chunk(bytes);
      if (unsent) co_await write_rest(*unsent);
      if (!client_.is_open()) co_return Finish::kClientGone;
    }
    if (ended) break;
  }
  if (chunked) {
    const bool sent = co_await write_client("0\r\n\r\n");
    if (!sent) co_return Finish::kClientGone;
  }
  thread_.metrics.answered[job.backend().id].add();
  thread_.metrics.prompts_answered.add(job.ticket().prompts);
  co_return Finish::kOk;
}

// --- a list that goes out in pieces -------------------------------------------------------------

Task<Finish> Dispatch::serve_list() {
  list_->left = list_->pieces.size();
  for (auto& piece : list_->pieces) {
    asio::co_spawn(thread_.io.get_executor(), run_piece(*piece), asio::detached);
  }
  if (list_->left > 0) co_await list_->done.wait();
  if (client_gone_ || thread_.shutting_down) co_return co_await answer_cancelled();
  co_return co_await answer_list();
}

// Contiguous, as even as can be, none longer than the bound, and enough to keep all backends busy.
std::optional<Error> Dispatch::prepare_list(const BodyScan& scan, const Ticket& like) {
  const auto prompts = thread_.scanner.elements(request_.body, scan.prompt);
  if (!prompts) return prompts.error();
  const std::size_t count = prompts->size();
  const std::size_t most = thread_.settings.bodies.list_piece;
  if (count > thread_.settings.bodies.max_list) {
    return Error{Errc::kQueueFull, "The list holds " + std::to_string(count) +
                                       " prompts, more than the whole queue "
                                       "(batchproxy.max_queue)."};
  }
  const std::size_t pieces =
      std::max((count + most - 1) / most, std::min(count, like.backends.size()));
  const BodyParts whole = BodyParts::cut(request_.body, scan.prompt);
  auto list = std::make_unique<List>(List{scan.prompts, scan.choices});
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t begin = count * i / pieces;
    const std::size_t end = count * (i + 1) / pieces;
    auto& piece = *list->pieces.emplace_back(std::make_unique<Piece>());
    piece.first_prompt = static_cast<std::uint32_t>(begin);
    // Its prompts stand next to each other in the client's body: nothing is copied.
    const char* first = (*prompts)[begin].data();
    const char* last = (*prompts)[end - 1].data() + (*prompts)[end - 1].size();
    const std::string_view slice(first, static_cast<std::size_t>(last - first));
    const BodyParts parts{whole.before, slice, whole.after};
    const Job::Load load{&request_, parts, false, static_cast<std::uint32_t>(i + 1), scan.choices};
    piece.job.emplace(thread_, phase_, load);
    Ticket& ticket = piece.job->ticket();
    describe_prompt(thread_.settings.bodies, scan, model_key_, request_, like,
                    {{}, (*prompts)[begin], {}}, ticket);
    ticket.prompts = static_cast<std::uint32_t>(end - begin);
    ticket.tokens *= ticket.prompts;
    ticket.packing = Packing::kNever;
  }
  list_ = std::move(list);
  return std::nullopt;
}

Task<void> Dispatch::run_piece(Piece& piece) {
  bool failed = false;
  try {
    piece.ending = co_await piece.job->run();
  } catch (const std::exception& exception) {
    spdlog::error("internal error in request {}: {}", request_.id.text(), exception.what());
    failed = true;
  }
  // One answer is wrong: then the whole list's is, and the others need not be waited for.
  if ((failed || !piece.is_good()) && !std::exchange(list_->failed, true)) {
    for (auto& other : list_->pieces) {
      if (other.get() != &piece) other->job->cancel();
    }
  }
  // From the event loop: this coroutine must have ended before what it uses does.
  if (--list_->left == 0) list_->done.wake_later(thread_.io.get_executor());
}

Task<Finish> Dispatch::answer_list() {
  std::vector<ListReader::Piece> answers;
  std::string names;
  unsigned attempts = 0;
  for (auto& piece : list_->pieces) {
    if (!piece->is_good()) {
      // A cancelled one is only the consequence of another's failure.
      if (piece->ending == Job::Ending::kCancelled) continue;
      co_return co_await answer_like(*piece);
    }
    const Job& job = *piece->job;
    answers.push_back({job.body(), piece->first_prompt, job.ticket().prompts});
    thread_.metrics.answered[job.backend().id].add();
    attempts = std::max(attempts, job.attempts());
    if (names.find(job.backend().name) == std::string::npos) {
      if (!names.empty()) names += ", ";
      names += job.backend().name;
    }
  }
  std::optional<std::string> body;
  if (answers.size() == list_->pieces.size()) {
    body = thread_.list_reader.gather(answers, list_->choices);
  }
  if (!body) {
    const Error error{Errc::kChoiceCountMismatch,
                      "A backend's answer to a part of the list does not hold what was asked for."};
    co_return co_await refuse(error);
  }
  const Job& first = *list_->pieces.front()->job;
  Provenance who = provenance(first);
  who.backend = names;
  who.attempts = attempts;
  const std::unique_ptr<Unsent> unsent = send_answer(first.answer(), *body, who);
  if (unsent) co_await write_rest(*unsent);
  co_return finish_answered(first.answer(), list_->prompts);
}

Task<Finish> Dispatch::answer_like(const Piece& failed) {
  if (failed.ending == Job::Ending::kFailed) return refuse(failed.job->error());
  return answer_with(*failed.job);
}

// --- the client ---------------------------------------------------------------------------------

// A part of a streamed body: a chunk, or plain bytes for an HTTP/1.0 client. Nothing is left when
// the socket has taken it all.
std::unique_ptr<Dispatch::Unsent> Dispatch::send_chunk(std::string_view bytes) {
  const bool chunked = request_.minor_version == 1;
  std::array<char, 20> storage;
  const std::string_view size = chunked ? chunk_size_line(bytes.size(), storage) : "";
  const std::string_view end = chunked ? "\r\n" : "";
  const std::array<asio::const_buffer, 3> chunk{asio::const_buffer(size.data(), size.size()),
                                                asio::const_buffer(bytes.data(), bytes.size()),
                                                asio::const_buffer(end.data(), end.size())};
  const std::size_t sent = client_.try_write(chunk);
  if (sent == size.size() + bytes.size() + end.size()) return nullptr;
  std::string whole(size);
  whole.append(bytes).append(end);
  return std::make_unique<Unsent>(Unsent{std::move(whole), {}, sent});
}

// A client that does not read for `write_stall` is cut off; one that waits for us is not.
Task<bool> Dispatch::write_client(std::string_view bytes) {
  began_answer_ = true;
  return client_.write(bytes, thread_.settings.write_stall);
}

// A stream that cannot be finished must not look finished: it gets an error event, no `[DONE]`, no
// last chunk. Where there is no place for an event it just ends.
Task<void> Dispatch::end_broken_stream(const Error& error, bool event_may_follow) {
  keep_alive_ = false;
  thread_.metrics.count_error(error.code);
  if (!event_may_follow) co_return;
  const std::string event = compose_error_event(error, request_.route->errors);
  const std::unique_ptr<Unsent> unsent = send_chunk(event);
  if (unsent) co_await write_rest(*unsent);
}

Task<Finish> Dispatch::refuse(const Error& error) {
  thread_.metrics.count_error(error.code);
  client_.on_peer_gone(nullptr);
  return write_refusal(compose_error(error, context()), finish_of(error.code));
}

Task<Finish> Dispatch::refuse(Errc why) {
  return refuse(error_of(why));
}

Task<Finish> Dispatch::write_refusal(std::string answer, Finish finish) {
  const bool sent = co_await write_client(answer);
  co_return sent ? finish : Finish::kClientGone;
}

// What is told to the client here is what happens to its connection afterwards.
ReplyContext Dispatch::context() {
  if (thread_.draining) keep_alive_ = false;
  thread_.id_text.clear();
  request_.append_shown_id(thread_.id_text);
  return {thread_.id_text, request_.minor_version, keep_alive_, request_.cors_lines(),
          request_.route->errors};
}

Provenance Dispatch::provenance(const Job& job) const {
  return {job.backend().name, job.batch().id, job.batch().prompts, job.attempts(),
          !job.exact_usage()};
}

}  // namespace batchproxy
