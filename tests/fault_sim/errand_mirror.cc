// tests/fault_sim/errand_mirror.cc - see errand_mirror.h.
#include "tests/fault_sim/errand_mirror.h"

#include <utility>

#include "proxy/wire/failure.h"

namespace batchproxy::fault_sim {

ErrandMirror::ErrandMirror(ThreadMirror& thread, RequestPhase& phase, Marker marker,
                           std::uint64_t content_key)
    : thread_(thread), phase_(phase), marker_(marker), content_key_(content_key) {
  ticket_.sink = this;
}

// The loop of Errand::run(), whose steps are the members below.
void ErrandMirror::run(std::function<void(Ending)> done, std::function<void(bool)> stream_done) {
  done_ = std::move(done);
  stream_done_ = std::move(stream_done);
  if (cancelled_) return end(Ending::kCancelled);
  submit();
}

void ErrandMirror::submit() {
  ++with_lane_;
  thread_.lane.submit(ticket_, deaths_);
}

void ErrandMirror::on_returned(Ticket&) {
  if (--with_lane_ > 0) return;
  granted_ = !ticket_.verdict.refused;
  if (!granted_) return end(refused());
  make_attempt();
}

void ErrandMirror::make_attempt() {
  backend_ = thread_.upstreams.at(ticket_.verdict.backend);
  phase_.begin_call();
  if (cancelled_) return attempt_ended(CallFailure::kAborted);
  call_alone();
}

void ErrandMirror::call_alone() {
  calling_ = true;
  const std::uint64_t call = ++calls_;
  thread_.time.after(thread_.dice.between(Duration(20us), Duration(1ms)), [this, call] {
    if (!calling_ || call != calls_) return;
    if (!backend_->take({call, this, marker_, ticket_.streaming})) {
      return on_reply(call, {.failure = CallFailure::kRefused});
    }
    thread_.time.note("request {} reaches {}", content_key_, backend_->name());
    if (++reached_ > Attempts::kMax) throw Violation("a fourth attempt");
  });
  thread_.time.at(attempt_deadline(), [this, call] {
    if (!calling_ || call != calls_ || streams_) return;
    backend_->hang_up(this, call);
    on_reply(call, {.failure = CallFailure::kTimedOut});
  });
}

TimePoint ErrandMirror::attempt_deadline() const {
  const Duration most = thread_.attempt_timeout;
  if (most == Duration::zero()) return ticket_.deadline;
  return std::min(ticket_.deadline, thread_.time.now() + most);
}

void ErrandMirror::on_head(std::uint64_t call) {
  if (!calling_ || call != calls_ || cancelled_) return;
  streams_ = true;
  attempts_.on_stream();
  end(Ending::kStream);
}

void ErrandMirror::on_reply(std::uint64_t call, const Reply& reply) {
  if (!calling_ || call != calls_) return;
  calling_ = false;
  reply_ = reply;
  if (reply.failure != CallFailure::kNone || reply.status >= 400) {
    failed_by_.insert(ticket_.verdict.backend);
  }
  if (streams_) return end_stream(reply.failure == CallFailure::kNone);
  attempt_ended(reply.failure);
}

void ErrandMirror::attempt_ended(CallFailure failure) {
  const unsigned status = failure == CallFailure::kNone ? reply_.status : 0;
  went_down_ = failure == CallFailure::kNone && reply_.says_dead && !cancelled_;
  if (!went_down_ && !cancelled_ && may_be_death(failure, status)) {
    return look_after(ticket_.verdict.backend);
  }
  after(failure);
}

void ErrandMirror::look_after(BackendId backend) {
  thread_.look_at(backend, [this](bool is_ready) {
    thread_.lane.to_thread().send([this, is_ready] {
      went_down_ = !is_ready;
      after(reply_.failure);
    });
  });
}

Attempt ErrandMirror::attempt_of(CallFailure failure) const {
  const bool answered = failure == CallFailure::kNone;
  return {.backend = ticket_.verdict.backend,
          .failure = failure,
          .status = answered ? reply_.status : 0,
          .asks_to_wait = answered && reply_.wait > Duration::zero(),
          .may_wait = thread_.holds_for_room,
          .alone = ticket_.verdict.alone,
          .went_down = went_down_,
          .time_left = thread_.time.now() < ticket_.deadline};
}

void ErrandMirror::after(CallFailure failure) {
  const bool answered = failure == CallFailure::kNone;
  const Attempt attempt = attempt_of(failure);
  const Duration wait = answered ? reply_.wait : Duration::zero();
  last_ = failure;
  if (attempt.is_death()) ++deaths_;
  if (answered && attempt.status < 500) ticket_.verdict.refutes = attempts_.failed_by();
  const Outcome outcome = !cancelled_    ? outcome_of(attempt)
                          : client_left_ ? Outcome::kLeft
                                         : Outcome::kUnknown;
  release(outcome, wait);
  if (cancelled_) return end(Ending::kCancelled);
  const bool good = answered && attempt.status < 500 && !attempt.asks_to_wait;
  if (!good) {
    thread_.time.note("request {}: attempt at backend {} fails: {} {}", content_key_,
                      attempt.backend, to_string(failure), attempt.status);
  }
  if (!answered || attempt.is_death()) {
    thread_.report_failure(attempt.backend, failure == CallFailure::kRefused);
  }
  switch (attempts_.after(attempt, ticket_.backends)) {
    case Attempts::Next::kDeliver:
      return end(deliver(failure));
    case Attempts::Next::kWait:
      --reached_;
      return submit();
    case Attempts::Next::kPoison:
      thread_.poison->add(content_key_, thread_.time.now());
      error_ = Errc::kPoisonPrompt;
      return end(Ending::kFailed);
    case Attempts::Next::kRetry:
      attempts_.prepare_retry(ticket_, /*costs_budget=*/false);
      break;
    case Attempts::Next::kRetryInBudget:
      attempts_.prepare_retry(ticket_, /*costs_budget=*/true);
      break;
  }
  thread_.metrics.retried.add();
  submit();
}

ErrandMirror::Ending ErrandMirror::deliver(CallFailure failure) {
  if (failure == CallFailure::kNone) return Ending::kAnswer;
  error_ = error_of(failure, backend_->name()).code;
  return Ending::kFailed;
}

void ErrandMirror::cancel(bool client_left) {
  if (std::exchange(cancelled_, true)) return;
  client_left_ = client_left;
  if (calling_) {
    backend_->hang_up(this, calls_);
    on_reply(calls_, {.failure = CallFailure::kAborted});
  } else if (with_lane_ > 0) {
    ++with_lane_;
    thread_.lane.cancel(ticket_, client_left);
  }
}

void ErrandMirror::end_stream(bool ok) {
  const bool ours = cancelled_ || reply_.failure == CallFailure::kNone;
  release(ok ? Outcome::kGood : ours ? Outcome::kUnknown : outcome_of({.failure = reply_.failure}));
  stream_done_(ok);
}

ErrandMirror::Ending ErrandMirror::refused() {
  if (cancelled_) return Ending::kCancelled;
  const Errc why = *ticket_.verdict.refused;
  if (why == Errc::kRetryBudget || (backend_ && last_ == CallFailure::kNone)) {
    return deliver(last_);
  }
  error_ = error_of(why).code;
  return Ending::kFailed;
}

void ErrandMirror::release(Outcome outcome, Duration pause) {
  granted_ = false;
  phase_.end_call();
  thread_.lane.complete(ticket_, outcome, pause);
}

// --- not in Errand ------------------------------------------------------------------------------

void ErrandMirror::end(Ending outcome) {
  if (std::exchange(ended_, true)) throw Violation("an errand ends twice");
  done_(outcome);
}

void ErrandMirror::on_killed_engine() {
  if (++engines_killed_ > 3) throw Violation("a poison kills a fourth engine");
}

void ErrandMirror::check_ending(Ending outcome, bool patient) const {
  const auto require = [&](bool holds, const char* otherwise) {
    if (holds) return;
    throw Violation(fmt::format("request {}: {} (status {}, {}, {} attempts, {} deaths)",
                                content_key_, otherwise, reply_.status, to_string(reply_.failure),
                                reached_, deaths_));
  };
  const bool late = thread_.time.now() >= ticket_.deadline;
  const bool used_up = reached_ >= Attempts::kMax;
  // By the lane, after some attempt: its oracle has looked at why.
  const bool refused = ticket_.verdict.refused.has_value();
  require(!patient || !late, "a patient request waits until its deadline");
  if (outcome == Ending::kAnswer && reply_.status < 500 && reply_.wait == Duration::zero()) {
    const bool bad = marker_ == Marker::kAlways400 || marker_ == Marker::kPoison;
    require(reply_.status == (bad ? 400u : 200u), "an answer out of nowhere");
    return;
  }
  if (outcome == Ending::kAnswer) {
    const bool elsewhere = !(ticket_.backends - failed_by_).empty();
    require(used_up || late || refused || !elsewhere, "a bad answer is delivered too early");
    return;
  }
  switch (*error_) {
    case Errc::kPoisonPrompt:
      require(deaths_ >= 3, "called a poison without three deaths");
      break;
    case Errc::kBackendLost:
      require(used_up || late, "lost before its attempts are used up");
      break;
    case Errc::kBackendTimeout:
      require(used_up || late || refused, "timed out before its attempts are used up");
      break;
    case Errc::kBadBackendResponse:
      require(reached_ >= 2 || late || refused || (ticket_.backends - failed_by_).empty(),
              "a bad answer is believed at once");
      break;
    default:
      require(refused, "failed for no reason");
  }
}

}  // namespace batchproxy::fault_sim
