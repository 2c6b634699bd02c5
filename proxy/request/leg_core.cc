// proxy/request/leg_core.cc - see leg_core.h.
#include "proxy/request/leg_core.h"

#include <utility>

namespace batchproxy {

LegCore::LegCore(LegCore& before)
    : attempts_(before.attempts_),
      may_wait_(before.may_wait_),
      ticket_(before.ticket_),
      before_(&before) {
  const BackendId stuck = before.ticket_.verdict.backend;
  ticket_.verdict = {};
  ticket_.backends.erase(stuck);
  ticket_.never.insert(stuck);
  ticket_.mergeable = Mergeable::kNever;
  ticket_.costs_budget = false;
  ticket_.suspect = attempts_.is_suspect();  // legs before that one may have ended since
  before.beside_ = this;
  before.yielded_ = false;
  attempts_.begin_beside();
}

LegCore::Do LegCore::begin() {
  return cancelled_ ? end(Ending::kCancelled) : submit(Do::kSubmit);
}

LegCore::Do LegCore::submit(Do how) {
  stage_ = Stage::kWithLane;
  ++with_lane_;
  return how;
}

LegCore::Do LegCore::end(Ending ending) {
  stage_ = Stage::kEnded;
  ending_ = ending;
  return Do::kEnd;
}

LegCore::Do LegCore::on_verdict() {
  if (!ticket_.verdict.refused) {
    granted_ = true;
    given_up_ = CallFailure::kNone;
    stage_ = is_merged() ? Stage::kMerged : Stage::kCalling;
    return Do::kCall;
  }
  if (cancelled_) return end(Ending::kCancelled);
  // A backend's own answer, bad as it may be, says more than that no retry was to be had; but not
  // an engine's last words.
  const Errc why = *ticket_.verdict.refused;
  const bool has_word = last_.failure == CallFailure::kNone && !went_down_;
  if (why == Errc::kRetryBudget || has_word) return deliver();
  refused_ = why;
  return end(Ending::kFailed);
}

LegCore::Do LegCore::on_call_ended(const CallEnd& end_of_call) {
  last_ = end_of_call;
  if (last_.streams && !cancelled_) {
    attempts_.on_stream();
    ending_ = Ending::kStream;
    return Do::kEnd;  // still calling: the backend is not free yet
  }
  const bool gave_up = last_.failure == CallFailure::kAborted && given_up_ != CallFailure::kNone;
  if (gave_up) last_.failure = given_up_;
  went_down_ = last_.says_dead && !is_merged() && !cancelled_;
  stage_ = Stage::kIdle;
  // A broken connection is no proof of a dead engine, so before a request is blamed for one its
  // health is looked at.
  const bool asks = !went_down_ && !cancelled_ && may_be_death(last_.failure, status());
  if (!asks) return end_attempt();
  stage_ = Stage::kLooking;
  return Do::kLookAt;
}

LegCore::Do LegCore::on_looked_at(std::optional<bool> is_ready, TimePoint now) {
  stage_ = Stage::kIdle;
  went_down_ = is_ready && !*is_ready;
  last_.at = now;
  return end_attempt();
}

Attempt LegCore::attempt() const {
  return {.backend = ticket_.verdict.backend,
          .failure = last_.failure,
          .status = status(),
          .asks_to_wait = last_.pause > Duration::zero(),
          .may_wait = may_wait_,
          .alone = ticket_.verdict.alone,
          .went_down = went_down_,
          .time_left = last_.is_good() || last_.at < ticket_.deadline};
}

// A client that leaves before a byte has come may know of no fault, but many do tell of one.
Outcome LegCore::outcome_of_end(const Attempt& attempt) const {
  if (!cancelled_) return outcome_of(attempt);
  return client_left_ && last_.silent ? Outcome::kLeft : Outcome::kUnknown;
}

LegCore::Do LegCore::end_attempt() {
  if (beside_ != nullptr) attempts_.end_beside();
  const Attempt ended = attempt();
  if (has_answer()) ticket_.verdict.refutes = attempts_.failed_by();
  report_ = {.backend = ended.backend, .outcome = outcome_of_end(ended), .pause = last_.pause};
  granted_ = false;
  next_ = Attempts::Next::kDeliver;
  if (!cancelled_) {
    next_ = attempts_.after(ended, ticket_.backends);
    fill_in_report(ended);
  }
  over_ = cancelled_ || (has_answer() && next_ == Attempts::Next::kDeliver);
  return Do::kReport;
}

void LegCore::fill_in_report(const Attempt& ended) {
  const bool answered = ended.failure == CallFailure::kNone;
  const bool good = answered && ended.status < 500 && !ended.asks_to_wait;
  const bool ours = ended.failure == CallFailure::kStuck || ended.failure == CallFailure::kRecalled;
  report_.bad_answer = ended.failure == CallFailure::kBadAnswer;
  report_.failed = !good && next_ != Attempts::Next::kWait;
  // Of a merged call, whoever made it tells.
  report_.looks_gone = (!answered && !is_merged() && !ours) || ended.is_death();
  report_.unreachable = ended.failure == CallFailure::kRefused;
  // It may have started again without the adapters that it had.
  report_.lacks_model = ended.status == 404;
  // What ends engines shall not be with two of them.
  report_.ends_before = ended.is_death() && before_ != nullptr;
}

LegCore::Do LegCore::go_on() {
  if (beside_ == nullptr) return after();
  // Unless this leg has the answer, the one beside it is waited for.
  return over_ || cancelled_ ? Do::kEndBeside : Do::kJoin;
}

LegCore::Do LegCore::on_joined() {
  const bool counts = beside_->is_answer() || yielded_;
  if (over_ || cancelled_ || !counts) {
    beside_ = nullptr;
    // The legs beside it may have used up the tries since its own call ended.
    const bool again = next_ != Attempts::Next::kPoison;
    if (again && !attempts_.any_left()) next_ = Attempts::Next::kDeliver;
    return after();
  }
  beside_counts_ = true;
  return end(beside_->ending_);
}

LegCore::Do LegCore::after() {
  if (cancelled_) return end(Ending::kCancelled);
  switch (next_) {
    case Attempts::Next::kDeliver:
      return deliver();
    case Attempts::Next::kWait:
      if (is_merged())
        last_ = {.failure = CallFailure::kAborted};  // its answer is not ours to keep
      return submit(Do::kSubmit);
    case Attempts::Next::kPoison:
      refused_ = Errc::kPoisonPrompt;
      end(Ending::kFailed);
      return Do::kPoison;
    case Attempts::Next::kRetry:
      attempts_.prepare_retry(ticket_, /*costs_budget=*/false);
      break;
    case Attempts::Next::kRetryInBudget:
      attempts_.prepare_retry(ticket_, /*costs_budget=*/true);
      break;
  }
  return submit(Do::kRetry);
}

LegCore::Do LegCore::deliver() {
  return end(last_.failure == CallFailure::kNone ? Ending::kAnswer : Ending::kFailed);
}

// --- what happens meanwhile ---------------------------------------------------------------------

LegCore::Act LegCore::cancel(bool client_left) {
  if (cancelled_) return Act::kNothing;
  cancelled_ = true;
  client_left_ = client_left;
  switch (stage_) {
    case Stage::kWithLane:
      ++with_lane_;
      return Act::kWithdraw;
    case Stage::kCalling:
      return Act::kEndCall;
    case Stage::kLooking:
      return Act::kStopLooking;
    case Stage::kIdle:
    case Stage::kMerged:  // not to be cut short: others read our bytes meanwhile
    case Stage::kEnded:
      break;
  }
  return Act::kNothing;
}

// A request that waits for an answer as a whole is asked elsewhere as well, and keeps its call: the
// backend may yet move. A stream that has not begun, and a merged call, are asked anew.
LegCore::Act LegCore::on_stuck(BackendSet ready) {
  BackendSet others = ticket_.backends;
  others.erase(ticket_.verdict.backend);
  const bool can = stage_ == Stage::kCalling && !cancelled_ && beside_ == nullptr;
  if (!can || (others & ready).empty()) return Act::kNothing;
  if (!ticket_.streaming) return attempts_.any_left() ? Act::kAskBeside : Act::kNothing;
  return attempts_.may_ask_anew() ? give_up_call(CallFailure::kStuck) : Act::kNothing;
}

// One that is asked elsewhere already has its way out.
LegCore::Act LegCore::on_recall(const Recall& recall) {
  const bool meant = ticket_.client == recall.client && ticket_.arrival < recall.before;
  const bool can = stage_ == Stage::kCalling && !cancelled_ && beside_ == nullptr;
  return meant && can && before_ == nullptr ? give_up_call(CallFailure::kRecalled) : Act::kNothing;
}

// The first answer counts; without one the call under way goes on.
LegCore::Act LegCore::on_beside_ended() {
  return beside_->is_answer() ? yield() : Act::kNothing;
}

LegCore::Act LegCore::yield() {
  yielded_ = true;
  return stage_ == Stage::kCalling ? give_up_call(CallFailure::kStuck) : Act::kNothing;
}

LegCore::Act LegCore::give_up_call(CallFailure why) {
  given_up_ = why;
  return Act::kEndCall;
}

Outcome LegCore::on_stream_ended(bool ok, CallFailure failure) {
  stage_ = Stage::kEnded;
  granted_ = false;
  if (ok) return Outcome::kGood;
  const bool ours = cancelled_ || failure == CallFailure::kNone;
  return ours ? Outcome::kUnknown : outcome_of({.failure = failure});
}

bool LegCore::break_off() {
  stage_ = Stage::kEnded;
  return std::exchange(granted_, false);
}

// An answer of its own, or one that the leg beside it has brought.
bool LegCore::is_answer() const {
  if (stage_ != Stage::kEnded || ending_ != Ending::kAnswer) return false;
  return beside_counts_ ? beside_->is_answer() : has_answer();
}

}  // namespace batchproxy
