// proxy/dispatch.cc - see dispatch.h.
#include "proxy/dispatch.h"

#include <array>
#include <charconv>
#include <utility>

#include <spdlog/spdlog.h>

namespace batchproxy {

namespace {

// "1f\r\n": the size line of a chunk.
std::string_view chunk_size_line(std::size_t size, std::array<char, 20>& storage) {
  char* end = std::to_chars(storage.data(), storage.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {storage.data(), static_cast<std::size_t>(end - storage.data())};
}

Error error_of(CallFailure failure, std::string_view backend) {
  const std::string name(backend);
  switch (failure) {
    case CallFailure::kRefused:
    case CallFailure::kUnreachable:
      return {Errc::kBackendLost, "Backend " + name + " could not be reached."};
    case CallFailure::kNoAnswer:
      return {Errc::kBackendLost, "Backend " + name + " closed the connection without an answer."};
    case CallFailure::kCutAnswer:
      return {Errc::kBackendLost, "Backend " + name + " closed the connection in mid-answer."};
    case CallFailure::kBareError:
      return {Errc::kBadBackendResponse, "Backend " + name + " failed without saying why."};
    case CallFailure::kBadAnswer:
      return {Errc::kBadBackendResponse,
              "Backend " + name + " sent something that is not an answer."};
    case CallFailure::kTimedOut:
      return {Errc::kBackendTimeout, "Backend " + name + " did not answer in time."};
    case CallFailure::kNone:
    case CallFailure::kAborted:
      break;
  }
  return {Errc::kInternal, "The call to backend " + name + " ended unexpectedly."};
}

Error error_of(Errc refused) {
  switch (refused) {
    case Errc::kNoBackend:
      return {refused,
              "No backend for this model is ready. Engines may still be loading: see "
              "/status on the admin address."};
    case Errc::kQueueFull:
      return {refused, "The queue is full. Try again, or raise batchproxy.max_queue."};
    case Errc::kQueueTimeout:
      return {refused, "The request waited for a backend until its time was up."};
    default:
      return {Errc::kInternal, "The request was refused."};
  }
}

}  // namespace

Dispatch::Dispatch(IoThread& thread, Connection& client, const ClientRequest& request)
    : thread_(thread), client_(client), request_(request), keep_alive_(request.keep_alive) {
  thread_.metrics.received.add();
  enter(Phase::kQueued);
}

Dispatch::~Dispatch() {
  enter(Phase::kIdle);
}

Task<bool> Dispatch::run() {
  Finish finish = Finish::kBackendError;
  bool failed = false;
  try {
    finish = co_await serve();
  } catch (const std::exception& exception) {
    spdlog::error("internal error in request {}: {}", request_.unique_id, exception.what());
    failed = true;
    call_ = nullptr;  // it ended with the exception
  }
  complete(false);
  if (failed && !began_answer_) {
    Error error{Errc::kInternal, "An internal error of batchproxy. Its log says more."};
    finish = co_await refuse(std::move(error));
  } else if (failed) {
    keep_alive_ = false;
  }
  client_.on_peer_gone(nullptr);
  enter(Phase::kIdle);
  thread_.metrics.count_finish(finish);
  if (finish == Finish::kOk) {
    thread_.metrics.latency.observe(std::chrono::steady_clock::now() - request_.arrival);
  }
  co_return client_.is_open() && keep_alive_;
}

Task<Finish> Dispatch::serve() {
  if (auto error = make_ticket()) co_return co_await refuse(*std::move(error));
  const BackendSet all = ticket_.backends;
  client_.on_peer_gone([this] { on_client_gone(); });
  while (!client_gone_) {
    enter(Phase::kQueued);
    co_await verdict();
    if (client_gone_) break;
    if (ticket_.verdict.refused == Errc::kNoBackend && ticket_.backends != all) {
      ticket_.backends = all;  // no other is up: then the one that failed may have another chance
      continue;
    }
    if (ticket_.verdict.refused) co_return co_await refuse(error_of(*ticket_.verdict.refused));
    enter(Phase::kCalling);
    const std::optional<Finish> finish = co_await attempt();
    if (finish) co_return *finish;
    thread_.metrics.retried.add();
  }
  co_return Finish::kClientGone;
}

// The granted backend is free of this request. Exactly once for every grant.
void Dispatch::complete(bool ok) {
  if (!std::exchange(granted_, false)) return;
  thread_.lane->complete(ticket_.verdict, ticket_.prompts, ok);
}

std::optional<Error> Dispatch::make_ticket() {
  BodyScan scan;
  if (!request_.body.empty() && request_.scannable) {
    auto scanned = thread_.scanner.scan(request_.body, request_.route->body);
    if (!scanned) return scanned.error();
    scan = *scanned;
  } else if (request_.route->method == "POST" && request_.body.empty()) {
    return Error{Errc::kInvalidJson, "The request has no body."};
  }
  const ModelTable& models = *thread_.models;
  ticket_.backends = models.find(scan.model);
  if (ticket_.backends.empty()) {
    if (!models.complete()) return error_of(Errc::kNoBackend);
    return Error{Errc::kUnknownModel,
                 "The model `" + std::string(scan.model) +
                     "` does not exist. Served here: " + models.names() + ".",
                 "model"};
  }
  ticket_.arrival = request_.arrival;
  ticket_.deadline = request_.arrival + request_.timeout;
  ticket_.prompts = scan.prompts;
  ticket_.streaming = scan.streaming;
  ticket_.sink = this;
  return std::nullopt;
}

// --- the lane -----------------------------------------------------------------------------------

Task<void> Dispatch::verdict() {
  ++with_lane_;
  thread_.lane->submit(ticket_);
  co_await waiter_.wait();
  granted_ = !ticket_.verdict.refused;
}

void Dispatch::withdraw() {
  ++with_lane_;
  thread_.lane->cancel(ticket_);
}

// The ticket must not be touched, nor end, before it has come back for every time it was sent.
void Dispatch::on_returned(Ticket&) {
  if (--with_lane_ == 0) waiter_.wake();
}

void Dispatch::on_client_gone() {
  client_gone_ = true;
  if (call_ != nullptr) {
    call_->abort();
  } else if (with_lane_ > 0) {
    withdraw();
  }
}

// --- the backend --------------------------------------------------------------------------------

Task<std::optional<Finish>> Dispatch::attempt() {
  ++attempts_;
  const BackendId backend = ticket_.verdict.backend;
  UpstreamCall call({thread_.upstreams, thread_.buffers, thread_.response_head}, backend,
                    ticket_.deadline);
  call_ = &call;
  // Fresh for every attempt: some vLLM versions refuse an id that is still running.
  std::string upstream_id = request_.unique_id + "." + std::to_string(attempts_);
  if (request_.request_id != request_.unique_id) upstream_id.insert(0, request_.request_id + "-");
  const UpstreamRequest request{request_.route->method, request_.target, request_.fields,
                                request_.authorization, upstream_id,     request_.body};
  CallFailure failure = co_await call.start(request);
  const bool relay =
      failure == CallFailure::kNone && ticket_.streaming && call.head().status == 200;
  if (failure == CallFailure::kNone && !relay) failure = co_await call.read_whole();
  if (failure == CallFailure::kNone && !relay && call.head().status >= 500 && call.body().empty()) {
    failure = CallFailure::kBareError;
  }
  if (relay && !client_gone_) {
    const Finish finish = co_await answer_streaming(call);
    call_ = nullptr;
    complete(finish == Finish::kOk);
    co_return finish;
  }
  // The backend is free from here on, however long the client takes to read.
  call_ = nullptr;
  complete(failure == CallFailure::kNone && call.head().status < 400);
  if (client_gone_) co_return Finish::kClientGone;
  if (failure == CallFailure::kNone) co_return co_await answer_whole(call);
  thread_.report_failure(backend, failure == CallFailure::kRefused);
  if (!may_retry(failure)) co_return co_await refuse(failure);
  BackendSet others = ticket_.backends;
  others.erase(backend);
  if (!others.empty()) ticket_.backends = others;
  co_return std::nullopt;
}

bool Dispatch::may_retry(CallFailure failure) const {
  if (attempts_ >= kMaxAttempts) return false;
  return failure == CallFailure::kRefused || failure == CallFailure::kUnreachable ||
         failure == CallFailure::kNoAnswer || failure == CallFailure::kCutAnswer ||
         failure == CallFailure::kBareError;
}

// --- the answer ---------------------------------------------------------------------------------

Task<Finish> Dispatch::answer_whole(UpstreamCall& call) {
  const AnswerHead& from = call.head();
  const Provenance who = provenance();
  const std::string head = compose_head(
      {from.status, from.content_type, from.content_encoding, from.retry_after, call.body().size()},
      context(), &who);
  const std::array<asio::const_buffer, 2> answer{
      asio::const_buffer(head.data(), head.size()),
      asio::const_buffer(call.body().data(), call.body().size())};
  client_.on_peer_gone(nullptr);
  if (const bool sent = co_await write_client(answer); !sent) co_return Finish::kClientGone;
  thread_.metrics.answered[ticket_.verdict.backend].add();
  const Finish finish = finish_of_status(from.status);
  if (finish == Finish::kOk) thread_.metrics.prompts_answered.add(ticket_.prompts);
  co_return finish;
}

// Every piece goes out as it comes in: clients measure the time between tokens.
Task<Finish> Dispatch::answer_streaming(UpstreamCall& call) {
  const AnswerHead& from = call.head();
  const bool chunked = request_.minor_version == 1;
  if (!chunked) keep_alive_ = false;  // only the connection's end can mark the body's
  const Provenance who = provenance();
  const std::string head = compose_head(
      {from.status, from.content_type, from.content_encoding, {}, std::nullopt}, context(), &who);
  if (const bool sent = co_await write_client(head); !sent) co_return Finish::kClientGone;
  while (true) {
    const auto piece = co_await call.next_piece(request_.timeout);
    if (client_gone_) co_return Finish::kClientGone;
    if (!piece) {
      thread_.report_failure(ticket_.verdict.backend, false);
      co_await end_broken_stream(call.failure());
      co_return Finish::kBackendError;
    }
    if (piece->empty()) break;
    std::array<char, 20> storage;
    const std::string_view size = chunk_size_line(piece->size(), storage);
    const std::array<asio::const_buffer, 3> chunk{
        asio::const_buffer(size.data(), chunked ? size.size() : 0),
        asio::const_buffer(piece->data(), piece->size()),
        asio::const_buffer("\r\n", chunked ? 2 : 0)};
    if (const bool sent = co_await write_client(chunk); !sent) co_return Finish::kClientGone;
  }
  if (chunked) {
    const bool sent = co_await write_client("0\r\n\r\n");
    if (!sent) co_return Finish::kClientGone;
  }
  thread_.metrics.answered[ticket_.verdict.backend].add();
  thread_.metrics.prompts_answered.add(ticket_.prompts);
  co_return Finish::kOk;
}

// A client that does not read for idle_timeout is cut off; one that waits for us is not.
Task<bool> Dispatch::write_client(std::string_view bytes) {
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  co_return co_await write_client(std::span(&buffer, 1));
}

Task<bool> Dispatch::write_client(std::span<const asio::const_buffer> buffers) {
  began_answer_ = true;
  client_.expire_in(thread_.settings.idle_timeout);
  const bool written = co_await client_.write(buffers);
  client_.never_expire();
  co_return written;
}

// A stream that cannot be finished must not look finished: it gets an error event, no `[DONE]`, no
// last chunk.
Task<void> Dispatch::end_broken_stream(CallFailure failure) {
  keep_alive_ = false;
  const Error error = error_of(failure, provenance().backend);
  thread_.metrics.count_error(error.code);
  std::string event = "data: " + error_json(error) + "\n\n";
  if (request_.minor_version == 1) {
    std::array<char, 20> storage;
    event.insert(0, chunk_size_line(event.size(), storage));
    event += "\r\n";
  }
  co_await write_client(event);
}

Task<Finish> Dispatch::refuse(CallFailure failure) {
  co_return co_await refuse(error_of(failure, provenance().backend));
}

Task<Finish> Dispatch::refuse(Error error) {
  thread_.metrics.count_error(error.code);
  client_.on_peer_gone(nullptr);
  const std::string answer = compose_error(error, context());
  if (const bool sent = co_await write_client(answer); !sent) co_return Finish::kClientGone;
  co_return finish_of(error.code);
}

ReplyContext Dispatch::context() const {
  return {request_.request_id, request_.minor_version, keep_alive_ && !thread_.draining};
}

Provenance Dispatch::provenance() const {
  const Verdict& verdict = ticket_.verdict;
  return {thread_.upstreams.endpoint(verdict.backend).name, verdict.batch.id, verdict.batch.prompts,
          attempts_};
}

void Dispatch::enter(Phase phase) {
  if (phase_ == Phase::kQueued) thread_.metrics.queued.sub();
  if (phase_ == Phase::kCalling) thread_.metrics.inflight.sub();
  phase_ = phase;
  if (phase_ == Phase::kQueued) thread_.metrics.queued.add();
  if (phase_ == Phase::kCalling) thread_.metrics.inflight.add();
}

}  // namespace batchproxy
