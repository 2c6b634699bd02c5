// tests/fault_sim/sim_job.cc - see sim_job.h.
#include "tests/fault_sim/sim_job.h"

#include <utility>

#include "proxy/wire/client_error.h"
#include "tests/fault_sim/sim_merged.h"

namespace batchproxy::fault_sim {

using Do = LegCore::Do;
using Act = LegCore::Act;

SimLeg::SimLeg(SimJob& job, Attempts& attempts)
    : job_(job), thread_(job.thread_), core_(attempts, thread_.holds_for_room) {
  ticket().sink = this;
}

SimLeg::SimLeg(SimLeg& before)
    : job_(before.job_), thread_(before.thread_), core_(before.core_), before_(&before) {
  ticket().sink = this;
}

const SimLeg& SimLeg::answered_by() const {
  return core_.beside_counts() ? beside_->answered_by() : *this;
}

void SimLeg::run(std::function<void(Ending)> done) {
  done_ = std::move(done);
  obey(core_.begin());
}

void SimLeg::obey(Do next) {
  switch (next) {
    case Do::kRetry:
      thread_.metrics.retried.add();
      return submit();
    case Do::kSubmit:
      share_.reset();
      return submit();
    case Do::kCall:
      return call();
    case Do::kLookAt:
      return begin_look();
    case Do::kReport:
      count(core_.report());
      tell(core_.report());
      return obey(core_.go_on());
    case Do::kEndBeside:
      beside_->cancel(false);
      return join();
    case Do::kJoin:
      return join();
    case Do::kPoison:
      thread_.poison->add(job_.content_key_, thread_.time.now());
      return done_(core_.ending());
    case Do::kEnd:
      return done_(core_.ending());
  }
}

void SimLeg::act(Act act) {
  switch (act) {
    case Act::kNothing:
      break;
    case Act::kWithdraw:
      thread_.lane.cancel(ticket(), core_.has_client_left());
      break;
    case Act::kEndCall:
      backend_->hang_up(this, calls_);
      on_reply(calls_, {.failure = CallFailure::kAborted});
      break;
    case Act::kStopLooking:
      thread_.time.after(Duration::zero(), [this, look = looks_] { end_look(look, std::nullopt); });
      break;
    case Act::kAskBeside:
      ask_beside();
      break;
  }
}

void SimLeg::cancel(bool client_left) {
  const Act own = core_.cancel(client_left);
  if (beside_ && !beside_ended_) beside_->cancel(false);
  act(own);
}

// --- the lane -----------------------------------------------------------------------------------

void SimLeg::submit() {
  thread_.lane.submit(ticket(), job_.tried_);
}

void SimLeg::on_returned(Ticket&) {
  if (core_.on_returned()) obey(core_.on_verdict());
}

// --- the backend --------------------------------------------------------------------------------

void SimLeg::call() {
  backend_ = thread_.upstreams.at(called());
  job_.phase_.begin_call();
  reply_ = {.failure = CallFailure::kAborted};
  streams_ = arrived_ = false;
  if (core_.is_merged()) return call_merged();
  if (core_.is_cancelled()) return obey(core_.on_call_ended({.failure = CallFailure::kAborted}));
  calling_ = true;
  thread_.in_flight.push_back(*this);
  const std::uint64_t call = ++calls_;
  thread_.time.after(thread_.dice.between(Duration(20us), Duration(1ms)), [this, call] {
    if (!calling_ || call != calls_) return;
    if (!backend_->take({call, this, job_.marker_, ticket().streaming})) {
      return on_reply(call, {.failure = CallFailure::kRefused});
    }
    thread_.time.note("request {} reaches {}", job_.content_key_, backend_->name());
    arrived_ = true;
    const unsigned more =
        (before_ != nullptr || beside_ ? 1 : 0) + (job_.tried_.lost >= Attempts::kMax ? 1 : 0);
    if (++job_.reached_ > Attempts::kMax + more) {
      throw Violation("an attempt too many");
    }
  });
  thread_.time.at(thread_.attempt_deadline(ticket().deadline), [this, call] {
    if (!calling_ || call != calls_ || streams_) return;
    backend_->hang_up(this, call);
    on_reply(call, {.failure = CallFailure::kTimedOut});
  });
}

void SimLeg::call_merged() {
  if (!core_.ticket().verdict.is_follower) SimMerged::start(thread_, *this);
  if (!share_) {
    waits_for_share_ = true;
    return;
  }
  take_share(*std::exchange(share_, std::nullopt));
}

void SimLeg::fill(SimThread& from, const Reply& reply) {
  const auto hand_over = [this, reply] {
    if (share_) throw Violation("a member of a merged call has two answers");
    if (std::exchange(waits_for_share_, false)) return take_share(reply);
    share_ = reply;
  };
  if (&from == &thread_) return hand_over();
  from.to_others.send([this, hand_over] { thread_.time.after(Duration::zero(), hand_over); });
}

void SimLeg::take_share(const Reply& reply) {
  arrived_ = reply.failure != CallFailure::kRefused;
  if (arrived_) ++job_.reached_;
  end_call(reply);
}

Marker SimLeg::marker() const {
  return job_.marker_;
}

void SimLeg::on_head(std::uint64_t call) {
  if (!calling_ || call != calls_ || core_.is_cancelled()) return;
  streams_ = true;
  InFlight::unlink();  // what has begun cannot be asked anew
  obey(core_.on_call_ended({.status = 200, .streams = true}));
}

void SimLeg::on_reply(std::uint64_t call, const Reply& reply) {
  if (!calling_ || call != calls_) return;
  calling_ = false;
  InFlight::unlink();
  if (!streams_) return end_call(reply);
  reply_ = reply;
  end_stream();
}

void SimLeg::end_call(const Reply& reply) {
  reply_ = reply;
  if (reply.failure != CallFailure::kNone || reply.status >= 400) {
    job_.failed_by_.insert(called());
  }
  const bool answered = reply.failure == CallFailure::kNone;
  obey(core_.on_call_ended({.failure = reply.failure,
                            .status = reply.status,
                            .says_dead = answered && reply.says_dead,
                            .silent = !answered && !core_.is_merged(),
                            .pause = answered ? reply.wait : Duration::zero(),
                            .at = thread_.time.now()}));
}

void SimLeg::end_stream() {
  const bool ok = reply_.failure == CallFailure::kNone;
  job_.phase_.end_call();
  thread_.lane.complete(ticket(), core_.on_stream_ended(ok, reply_.failure), {});
  job_.stream_done_(ok);
}

// --- the monitor --------------------------------------------------------------------------------

void SimLeg::begin_look() {
  looking_ = true;
  const std::uint64_t look = ++looks_;
  thread_.look_at(called(), [this, look](bool is_ready) {
    thread_.lane.to_thread().send([this, look, is_ready] { end_look(look, is_ready); });
  });
  thread_.time.at(ticket().deadline, [this, look] { end_look(look, std::nullopt); });
}

void SimLeg::end_look(std::uint64_t look, std::optional<bool> is_ready) {
  if (look != looks_ || !std::exchange(looking_, false)) return;
  obey(core_.on_looked_at(is_ready, thread_.time.now()));
}

// --- the leg beside -----------------------------------------------------------------------------

void SimLeg::on_stuck() {
  act(core_.on_stuck(thread_.ready));
}

void SimLeg::ask_beside() {
  thread_.time.note("request {} is asked beside backend {}", job_.content_key_, called());
  ++thread_.beside;
  thread_.metrics.retried.add();
  job_.old_.push_back(std::move(beside_));
  beside_ = std::make_unique<SimLeg>(*this);
  beside_ended_ = false;
  beside_->run([this](Ending) { on_beside_ended(); });
}

void SimLeg::on_beside_ended() {
  if (std::exchange(beside_ended_, true)) throw Violation("a leg ends twice");
  act(core_.on_beside_ended());
  if (std::exchange(joins_, false)) obey(core_.on_joined());
}

void SimLeg::join() {
  if (beside_ended_) return obey(core_.on_joined());
  joins_ = true;
}

// --- what is told -------------------------------------------------------------------------------

void SimLeg::tell(const LegCore::Report& report) {
  job_.phase_.end_call();
  thread_.lane.complete(ticket(), report.outcome, report.pause);
  if (report.failed) {
    thread_.time.note("request {}: attempt at backend {} fails: {} {}", job_.content_key_,
                      report.backend, to_string(core_.last()), core_.status());
  }
  if (report.looks_gone) thread_.report_failure(report.backend, report.unreachable);
  if (report.ends_before) before_->act(before_->core_.yield());
}

void SimLeg::count(const LegCore::Report& report) {
  if (report.outcome == Outcome::kDied) ++job_.tried_.deaths;
  const CallFailure last = core_.last();
  const bool was_lost = report.outcome == Outcome::kDied || last == CallFailure::kNoAnswer ||
                        last == CallFailure::kCutAnswer || last == CallFailure::kStuck;
  if (was_lost) ++job_.tried_.lost;
  const bool was_full = report.outcome == Outcome::kFull && thread_.holds_for_room;
  const bool comes_back = was_full || core_.last() == CallFailure::kRecalled;
  if (comes_back && arrived_) --job_.reached_;
}

// --- SimJob -------------------------------------------------------------------------------------

SimJob::SimJob(SimThread& thread, RequestPhase& phase, Marker marker, std::uint64_t content_key)
    : thread_(thread),
      phase_(phase),
      marker_(marker),
      content_key_(content_key),
      leg_(*this, attempts_) {}

void SimJob::run(std::function<void(Ending)> done, std::function<void(bool)> stream_done) {
  stream_done_ = std::move(stream_done);
  leg_.run([this, done = std::move(done)](Ending ending) {
    if (std::exchange(ended_, true)) throw Violation("a job ends twice");
    done(ending);
  });
}

Errc SimJob::error() const {
  const LegCore& by = leg_.answered_by().core();
  return by.refused() ? *by.refused() : error_of(by.last(), "a backend").code;
}

void SimLeg::on_killed_engine() {
  // Alone for the third time, unless an end looked like a lost connection: then for the fourth.
  const unsigned most = job_.tried_.lost >= 3 ? 4 : 3;
  if (++job_.engines_killed_ > most) throw Violation("a poison kills too many engines");
}

void SimJob::check_ending(Ending outcome, bool patient) const {
  const SimLeg& by = leg_.answered_by();
  const Reply& reply = by.reply();
  const Ticket& asked = by.core().ticket();
  const auto require = [&](bool holds, const char* otherwise) {
    if (holds) return;
    throw Violation(fmt::format("request {}: {} (status {}, {}, {} attempts, {} deaths)",
                                content_key_, otherwise, status(), to_string(by.core().last()),
                                reached_, tried_.deaths));
  };
  const bool late = thread_.time.now() >= asked.deadline;
  const bool used_up = reached_ >= Attempts::kMax;
  // By the lane, after some attempt: its oracle has looked at why.
  const bool refused = asked.verdict.refused.has_value();
  require(!patient || !late, "a patient request waits until its deadline");
  if (outcome == Ending::kAnswer && reply.status < 500 && reply.wait == Duration::zero()) {
    const bool bad = marker_ == Marker::kAlways400 || marker_ == Marker::kPoison;
    require(reply.status == (bad ? 400u : 200u), "an answer out of nowhere");
    return;
  }
  if (outcome == Ending::kAnswer) {
    // Of the leg that answered: a reload may have left the first with backends that are gone.
    const bool elsewhere = !(asked.backends - failed_by_).empty();
    require(used_up || late || refused || !elsewhere, "a bad answer is delivered too early");
    return;
  }
  switch (error()) {
    case Errc::kPoisonPrompt:
      require(tried_.lost >= 3 && tried_.deaths > 0, "called a poison without three losses");
      break;
    case Errc::kBackendLost:
      require(used_up || late, "lost before its attempts are used up");
      break;
    case Errc::kBackendTimeout:
      require(used_up || late || refused, "timed out before its attempts are used up");
      break;
    case Errc::kBadBackendResponse:
      require(
          reached_ >= 2 || late || refused || (leg_.core().ticket().backends - failed_by_).empty(),
          "a bad answer is believed at once");
      break;
    default:
      require(refused, "failed for no reason");
  }
}

}  // namespace batchproxy::fault_sim
