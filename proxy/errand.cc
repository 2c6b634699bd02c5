// proxy/errand.cc - see errand.h.
#include "proxy/errand.h"

#include <utility>

#include <boost/asio/dispatch.hpp>

#include "proxy/failure.h"
#include "proxy/merged_call.h"

namespace batchproxy {

void RequestPhase::begin_call() {
  if (calling_++ > 0) return;
  metrics_.queued.sub();
  metrics_.inflight.add();
}

void RequestPhase::end_call() {
  if (--calling_ > 0) return;
  metrics_.inflight.sub();
  metrics_.queued.add();
}

SharedAnswer::SharedAnswer(const AnswerHead& head)
    : status(head.status),
      content_type(head.content_type),
      content_encoding(head.content_encoding),
      retry_after(head.retry_after),
      retry_after_ms(head.retry_after_ms),
      should_retry(head.should_retry) {}

AnswerHead SharedAnswer::head() const {
  return {status, content_type, content_encoding, retry_after, retry_after_ms, should_retry};
}

Errand::Errand(IoThread& thread, RequestPhase& phase, Load load)
    : thread_(thread), phase_(phase), load_(load) {
  ticket_.sink = this;
}

Task<Errand::Outcome> Errand::run() {
  try {
    co_return co_await attempt_until_done();
  } catch (...) {
    calling_ = false;
    if (granted_) release(false);
    throw;
  }
}

Task<Errand::Outcome> Errand::attempt_until_done() {
  all_ = ticket_.backends;
  while (!cancelled_) {
    co_await verdict();
    if (!granted_) {
      if (const auto outcome = refused()) co_return *outcome;
      continue;
    }
    const bool shares = shares_call();
    CallFailure failure = CallFailure::kAborted;
    phase_.begin_call();
    if (shares) {
      failure = co_await share_call();
    } else if (!cancelled_) {
      failure = co_await call_alone();
    }
    if (failure == CallFailure::kNone && !cancelled_ && ticket_.streaming &&
        answer().status == 200) {
      co_return Outcome::kStream;  // the backend is not free yet
    }
    // From here on it is, however long the client takes to read.
    release(failure == CallFailure::kNone && answer().status < 400);
    if (cancelled_) break;
    if (failure == CallFailure::kNone) co_return Outcome::kAnswer;
    if (!shares) {
      thread_.report_failure(ticket_.verdict.backend, failure == CallFailure::kRefused);
    }
    if (!may_retry(failure, shares)) {
      error_ = error_of(failure, backend_name());
      co_return Outcome::kFailed;
    }
    prepare_retry(failure);
  }
  co_return Outcome::kCancelled;
}

void Errand::cancel() {
  if (std::exchange(cancelled_, true)) return;
  if (calling_) {
    call_->abort();
  } else if (with_lane_ > 0) {
    ++with_lane_;
    thread_.lane->cancel(ticket_);
  }
}

void Errand::end_stream(bool ok) {
  calling_ = false;
  release(ok);
}

const std::string& Errand::backend_name() const {
  return thread_.upstreams.endpoint(ticket_.verdict.backend).name;
}

// --- the lane -----------------------------------------------------------------------------------

Task<void> Errand::verdict() {
  ++with_lane_;
  thread_.lane->submit(ticket_);
  co_await waiter_.wait();
  granted_ = !ticket_.verdict.refused;
}

// The ticket must not be touched, nor end, before it has come back for every time it was sent.
void Errand::on_returned(Ticket&) {
  if (--with_lane_ == 0) waiter_.wake();
}

// What a refusal means; nothing when another try is worth it.
std::optional<Errand::Outcome> Errand::refused() {
  if (cancelled_) return Outcome::kCancelled;
  const Errc why = *ticket_.verdict.refused;
  if (why == Errc::kNoBackend && ticket_.backends != all_) {
    ticket_.backends = all_;  // no other is up: then the one that failed may have another chance
    return std::nullopt;
  }
  error_ = error_of(why);
  return Outcome::kFailed;
}

// The granted backend is free of this errand. Exactly once for every grant.
void Errand::release(bool ok) {
  granted_ = false;
  phase_.end_call();
  thread_.lane->complete(ticket_.verdict, ticket_.prompts, ok);
}

// --- the backend --------------------------------------------------------------------------------

Task<CallFailure> Errand::call_alone() {
  ++attempts_;
  const ClientRequest& request = *load_.request;
  call_.emplace(thread_.upstream_resources(), ticket_.verdict.backend, ticket_.deadline);
  calling_ = true;
  // Fresh for every attempt: some vLLM versions refuse an id that is still running.
  std::string id = request.unique_id;
  if (load_.piece > 0) id += ".p" + std::to_string(load_.piece);
  id += "." + std::to_string(attempts_);
  if (request.request_id != request.unique_id) id.insert(0, request.request_id + "-");
  // What is to be put together with others must not come compressed.
  std::string uncompressed;
  if (load_.piece > 0) uncompressed = without_field(request.fields, "accept-encoding");
  const std::string_view fields = load_.piece > 0 ? uncompressed : request.fields;
  const UpstreamRequest upstream{
      request.route->method, request.target, fields, request.authorization, id, load_.body};
  CallFailure failure = co_await call_->start(upstream);
  const bool relay = failure == CallFailure::kNone && ticket_.streaming &&
                     call_->head().status == 200 && !cancelled_;
  if (relay) co_return failure;
  if (failure == CallFailure::kNone) failure = co_await call_->read_whole();
  calling_ = false;
  if (failure == CallFailure::kNone && call_->head().status >= 500 && call_->body().empty()) {
    failure = CallFailure::kBareError;
  }
  co_return failure;
}

// Waits for the call that this errand shares with others. Not to be cut short: others read our
// bytes meanwhile.
Task<CallFailure> Errand::share_call() {
  ++attempts_;
  if (!ticket_.verdict.is_mate) start_merged_call(thread_, *this);
  if (!shared_) co_await waiter_.wait();
  shared_head_ = shared_->head();
  co_return shared_->failure;
}

void Errand::fill(SharedAnswer answer) {
  auto deliver = [this, answer = std::move(answer)]() mutable {
    shared_ = std::move(answer);
    // With the ticket still on its way back, the verdict is what the errand waits for.
    if (with_lane_ == 0) waiter_.wake();
  };
  asio::dispatch(thread_.io, std::move(deliver));
}

bool Errand::may_retry(CallFailure failure, bool was_shared) const {
  // A shared call ends with its most impatient member: the others still have time.
  if (was_shared && failure == CallFailure::kTimedOut) {
    return std::chrono::steady_clock::now() < ticket_.deadline;
  }
  if (attempts_ >= kMaxAttempts) return false;
  return failure == CallFailure::kRefused || failure == CallFailure::kUnreachable ||
         failure == CallFailure::kNoAnswer || failure == CallFailure::kCutAnswer ||
         failure == CallFailure::kBareError;
}

// Elsewhere if there is an elsewhere, and alone: nobody else shall suffer from what it may do.
void Errand::prepare_retry(CallFailure failure) {
  shared_.reset();
  ticket_.packing = Packing::kNever;
  BackendSet others = ticket_.backends;
  others.erase(ticket_.verdict.backend);
  if (!others.empty() && failure != CallFailure::kTimedOut) ticket_.backends = others;
  thread_.metrics.retried.add();
}

}  // namespace batchproxy
