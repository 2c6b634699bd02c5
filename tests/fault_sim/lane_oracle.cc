// tests/fault_sim/lane_oracle.cc - see lane_oracle.h.
#include "tests/fault_sim/lane_oracle.h"

namespace batchproxy::fault_sim {

namespace {

constexpr Duration kLate = 1s;  // more than any message takes

template <class... Args>
void require(bool holds, fmt::format_string<Args...> otherwise, Args&&... args) {
  if (!holds) throw Violation(fmt::format(otherwise, std::forward<Args>(args)...));
}

std::int64_t second_of(TimePoint at) {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()).count();
}

}  // namespace

// --- what the scheduler was told ----------------------------------------------------------------

void LaneOracle::on_set_backend(BackendId id, bool is_new) {
  if (!is_new) return;
  require(backends_[id].inflight == 0, "id {} is given to another backend while {} prompts fly", id,
          backends_[id].inflight);
  backends_[id] = {};
  look_at_backends();
}

void LaneOracle::on_set_up(BackendId id, bool up) {
  Seen& seen = backends_[id];
  if (seen.up == up) return;
  seen.up = up;
  if (up) {
    seen.breaker.on_up(time_.now());
  } else {
    seen.paused_until = TimePoint::min();
  }
  look_at_backends();
}

void LaneOracle::on_set_options(const SchedulerOptions& options) {
  if (options.hold_timeout != options_.hold_timeout) hold_since_ = time_.now();
  options_ = options;
}

void LaneOracle::on_rerouted() {
  for (auto& [ticket, waiting] : waiting_) {
    if (ticket->backends == waiting.backends) continue;
    waiting.since = time_.now();
    waiting.backends = ticket->backends;
  }
}

void LaneOracle::on_submitted(const Ticket& ticket, Tried tried) {
  const bool known = waiting_.contains(&ticket) || flying_.contains(&ticket);
  require(!known, "a ticket is submitted that is in use");
  waiting_[&ticket] = {time_.now(), ticket.backends, tried};
  queued_ += ticket.prompts;
  if (ticket.costs_budget && !ticket.verdict.refused) spend_retry();
}

void LaneOracle::on_turned_away(const Ticket& ticket, const Routes& routes) const {
  require(ticket.verdict.refused == Errc::kUnknownModel && routes.complete &&
              (routes.find(ticket.model) - ticket.never).empty(),
          "a ticket is turned away that somebody serves");
}

void LaneOracle::on_cancelled(const Ticket& ticket) {
  require(waiting_.erase(&ticket) == 1, "a ticket was cancelled that does not wait");
  queued_ -= ticket.prompts;
}

void LaneOracle::on_completed(const Grant& grant, std::uint32_t prompts, const Ticket* ticket,
                              Outcome outcome, Duration pause) {
  Seen& seen = backends_[grant.backend];
  const auto flight = flying_.find(ticket);
  require(flight != flying_.end(), "a grant was given back twice");
  require(seen.inflight >= prompts, "more was given back than flew");
  seen.inflight -= prompts;
  if (grant.alone) --seen.alone;
  if (outcome == Outcome::kGood) ++seconds_[second_of(time_.now())].successes;
  const bool tells =
      !grant.is_follower || outcome == Outcome::kGood || outcome == Outcome::kRejected;
  for (BackendId id = 0; tells && outcome == Outcome::kGood && id < BackendSet::kMax; ++id) {
    if (!grant.refutes.contains(id)) continue;
    backends_[id].breaker.on_refuted(scheduler_.usual(id), time_.now());
  }
  if (tells) {
    seen.breaker.on_result(outcome, flight->second, scheduler_.usual(grant.backend), time_.now());
  }
  if (tells && outcome == Outcome::kDied) last_death_ = time_.now();
  flying_.erase(flight);
  if (pause > Duration::zero()) {
    const TimePoint until = time_.now() + std::min(pause, Pause::kLongest);
    seen.paused_until = std::max(seen.paused_until, until);
  }
  look_at_backends();
}

void LaneOracle::on_stall(const Stall& stall) {
  BreakerRules& breaker = backends_[stall.backend].breaker;
  if (!stall.stuck) return breaker.on_up(time_.now());
  breaker.trip(time_.now());
  breaker.stuck = true;
  look_at_backends();
}

// --- what it decided ----------------------------------------------------------------------------

void LaneOracle::on_decided(const Ticket& ticket, const Routes& routes) {
  const auto found = waiting_.find(&ticket);
  require(found != waiting_.end(), "a ticket has a second verdict");
  const Waiting waiting = found->second;
  waiting_.erase(found);
  ++decided_;
  queued_ -= ticket.prompts;
  if (ticket.verdict.refused) return check_refusal(ticket);
  check_grant(ticket, waiting, routes);
}

void LaneOracle::check_grant(const Ticket& ticket, const Waiting& waiting, const Routes& routes) {
  const TimePoint now = time_.now();
  const BackendId id = ticket.verdict.backend;
  Seen& seen = backends_[id];
  BreakerRules& breaker = seen.breaker;
  breaker.on_time(now);
  require(ticket.deadline > now, "a grant after the deadline");
  require(routes.find(ticket.model).contains(id), "backend {} does not serve what it is given", id);
  require(seen.up, "a grant to backend {}, which is down", id);
  require(now >= seen.paused_until, "a grant to backend {}, which has asked to wait", id);
  require(seen.alone == 0, "a suspect on backend {} gets company", id);
  const bool must = waiting.tried.deaths >= 2;
  const bool may = must || waiting.tried.lost >= 3;
  require(ticket.verdict.alone ? may : !must, "{} deaths, {} lost, and it runs {}",
          waiting.tried.deaths, waiting.tried.lost, ticket.verdict.alone ? "alone" : "with others");
  if (ticket.verdict.alone) {
    require(seen.inflight == 0, "a suspect has company on backend {}", id);
    require(!last_death_ || now >= *last_death_ + Isolation::kCalm,
            "a suspect runs although an engine has just ended");
    ++seen.alone;
    ++suspects_;
  }
  if (breaker.open) {
    require(!breaker.probing, "backend {} gets a second probe", id);
    // A second is enough while no other backend is up; whether that was so when the scheduler
    // looked is left to the unit tests.
    require(now >= std::min(breaker.until, breaker.since + 1s),
            "backend {} gets a probe before its pause is over", id);
    breaker.probing = true;
    breaker.probing_since = now;
  }
  if (ticket.avoid.contains(id)) {
    for (BackendId other = 0; other < BackendSet::kMax; ++other) {
      const bool candidate = ticket.backends.contains(other) && !ticket.avoid.contains(other);
      const auto& usable = backends_[other].usable_since;
      require(!candidate || !usable || *usable >= waiting.since,
              "a retry goes to backend {} again, while {} is up", id, other);
    }
  }
  seen.inflight += ticket.prompts;
  flying_[&ticket] = breaker.epoch;
}

void LaneOracle::check_refusal(const Ticket& ticket) const {
  const TimePoint now = time_.now();
  switch (*ticket.verdict.refused) {
    case Errc::kQueueFull:
      return require(queued_ + ticket.prompts + 100 > options_.max_queue, "refused: queue full?");
    case Errc::kQueueTimeout:
    case Errc::kNoBackend: {
      if (now >= ticket.deadline || too_late_for_all(ticket)) return;
      const bool changed = hold_since_ + options_.hold_timeout > now;
      return require(changed || hopeless_for(ticket, options_.hold_timeout),
                     "refused for want of a backend, though one was up not long ago: {}",
                     facts(ticket));
    }
    case Errc::kUnknownModel:
    case Errc::kRetryBudget:
      return;
    default:
      return require(false, "refused as `{}`", describe(*ticket.verdict.refused).code);
  }
}

std::string LaneOracle::facts(const Ticket& ticket) const {
  const auto ago = [&](TimePoint at) {
    return std::chrono::duration<double>(time_.now() - at).count();
  };
  std::string text = fmt::format("arrived {:.3f} s ago, {}held up to {:.3f} s", ago(ticket.arrival),
                                 ticket.suspect ? "suspect, " : "",
                                 std::chrono::duration<double>(options_.hold_timeout).count());
  for (BackendId id = 0; id < BackendSet::kMax; ++id) {
    if (!ticket.backends.contains(id)) continue;
    const Seen& seen = backends_[id];
    text += fmt::format("; backend {}{}{} ", id, ticket.avoid.contains(id) ? " avoided" : "",
                        ticket.among.contains(id) ? "" : " left out");
    text += seen.usable_since ? "usable"
            : seen.last_usable == TimePoint::min()
                ? "never usable"
                : fmt::format("was usable {:.3f} s ago", ago(seen.last_usable));
  }
  return text;
}

// With less time left than an answer takes anywhere.
bool LaneOracle::too_late_for_all(const Ticket& ticket) const {
  const Duration left = ticket.deadline - time_.now();
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    const bool could = ticket.among.contains(id) && scheduler_.max_inflight(id) > 0;
    if (could && left >= scheduler_.usual(id)) return false;
  }
  return true;
}

// None that may serve it has been usable for so long, and it has waited so long.
bool LaneOracle::hopeless_for(const Ticket& ticket, Duration hold) const {
  if (ticket.arrival + hold > time_.now()) return false;
  for (BackendId id = 0; id < BackendSet::kMax; ++id) {
    if (!ticket.backends.contains(id)) continue;
    const Seen& seen = backends_[id];
    if (seen.usable_since || seen.last_usable + hold > time_.now()) return false;
  }
  return true;
}

// The figures of batcher/fleet/retry_budget.h, with the time at which it is asked.
void LaneOracle::spend_retry() {
  const std::int64_t now = second_of(time_.now());
  ++seconds_[now].retries;
  seconds_.erase(seconds_.begin(), seconds_.lower_bound(now - 9));
  Second sum;
  for (const auto& [which, second] : seconds_) {
    sum.successes += second.successes;
    sum.retries += second.retries;
  }
  require(sum.retries <= sum.successes / 5 + 100, "{} retries for {} successes in ten seconds",
          sum.retries, sum.successes);
}

void LaneOracle::after_take() {
  require(scheduler_.queued() == queued_, "{} prompts are queued, not {}", scheduler_.queued(),
          queued_);
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    require(scheduler_.inflight(id) == backends_[id].inflight, "{} prompts fly, not {}",
            scheduler_.inflight(id), backends_[id].inflight);
    backends_[id].breaker.on_time(time_.now());
    require(backends_[id].breaker.open == scheduler_.breaker_open(id),
            "the breaker of backend {} is {}, against its rules", id,
            scheduler_.breaker_open(id) ? "open" : "closed");
  }
  look_at_backends();
}

// Who has been usable since when, as far as the scheduler can know.
void LaneOracle::look_at_backends() {
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    Seen& seen = backends_[id];
    const bool usable = seen.up && !scheduler_.breaker_open(id);
    if (seen.usable_since) seen.last_usable = time_.now();
    if (!usable) {
      seen.usable_since.reset();
    } else if (!seen.usable_since) {
      seen.usable_since = time_.now();
    }
  }
}

// --- from time to time --------------------------------------------------------------------------

void LaneOracle::check_holding() const {
  // Twice, because a reload may send a ticket to a queue that has only now been found to be down.
  const Duration hold = 2 * options_.hold_timeout + kLate;
  if (hold_since_ + hold > time_.now()) return;
  for (const auto& [ticket, waiting] : waiting_) {
    if (ticket->backends.empty()) continue;  // a reload has just taken them away
    require(ticket->deadline + kLate > time_.now(), "a ticket waits beyond its deadline");
    require(waiting.since + hold > time_.now() || !hopeless_for(*ticket, hold),
            "a ticket is held beyond hold_timeout: {}", facts(*ticket));
  }
}

void LaneOracle::check_empty() const {
  require(waiting_.empty() && queued_ == 0, "{} tickets wait at the end", waiting_.size());
  require(flying_.empty(), "{} tickets fly at the end", flying_.size());
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    require(scheduler_.inflight(id) == 0, "prompts fly on backend {} at the end", id);
  }
  require(!scheduler_.next_due(), "the scheduler waits for something at the end");
}

// --- the breaker --------------------------------------------------------------------------------

void LaneOracle::BreakerRules::on_up(TimePoint now) {
  losses = refuted = errors = 0;
  if (open) {
    probing = false;
    since = until = now;
  }
  ++epoch;
}

void LaneOracle::BreakerRules::on_time(TimePoint now) {
  if (probing && !stuck && now >= probing_since + 5s) close();
}

void LaneOracle::BreakerRules::on_result(Outcome outcome, std::uint32_t of_epoch, Duration usual,
                                         TimePoint now) {
  if (of_epoch != epoch) return;
  switch (outcome) {
    case Outcome::kGood:
    case Outcome::kRejected:
    case Outcome::kFull:
      losses = refuted = errors = 0;
      if (probing) close();
      break;
    case Outcome::kServerError:
      if (std::exchange(probing, false)) {
        since = until = now + 1s;
      } else {
        count(errors, 10, usual, now);
      }
      break;
    case Outcome::kExpired:
    case Outcome::kLeft:
    case Outcome::kUnknown:
      if (std::exchange(probing, false)) since = until = now;
      break;
    case Outcome::kTimedOut:
    case Outcome::kLost:
      if (probing) {
        trip(now);
      } else {
        count(losses, 3, usual, now);
      }
      break;
    case Outcome::kDied:
      trip(now);
      break;
  }
}

void LaneOracle::BreakerRules::on_refuted(Duration usual, TimePoint now) {
  if (!open) count(refuted, 5, usual, now);
}

void LaneOracle::BreakerRules::count(int& failures, int most, Duration usual, TimePoint now) {
  if (losses + refuted + errors == 0) streak = now;
  const Duration least = std::max<Duration>(500ms, usual + usual / 4);
  if (++failures >= most && now - streak >= least) trip(now);
}

void LaneOracle::BreakerRules::close() {
  open = probing = stuck = false;
  losses = refuted = errors = openings = 0;
}

void LaneOracle::BreakerRules::trip(TimePoint now) {
  open = true;
  probing = stuck = false;
  since = now;
  until = now + std::min<Duration>(60s, ++openings * Duration(5s));
  losses = refuted = errors = 0;
  ++epoch;
}

}  // namespace batchproxy::fault_sim
