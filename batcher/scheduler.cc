// batcher/scheduler.cc - see scheduler.h.
#include "batcher/scheduler.h"

#include <algorithm>
#include <cassert>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options) {
  assert(options.batch_size > 0);
}

// --- backends -----------------------------------------------------------------------------------

void Scheduler::add_backend(BackendId id, const BackendTraits& traits) {
  assert(id < BackendSet::kMax);
  turns_.add_backend(id);
  isolation_.on_replaced(id);
  fleet_.add(id, traits);
  prospects_.add_backend(id);
  batches_.add_backend(id);
  prefixes_.forget(id);
  prefixes_.set_capacity(id, traits.kv_tokens);
}

void Scheduler::set_backend(BackendId id, const BackendTraits& traits) {
  fleet_.set_traits(id, traits);
  prefixes_.set_capacity(id, traits.kv_tokens);
}

void Scheduler::set_options(const SchedulerOptions& options) {
  // Under another rule nobody asks for those that stand back.
  if (options.policy != options_.policy) turns_.call_back();
  options_ = options;
  for (BackendId id = 0; id < fleet_.size(); ++id) turns_.release(id);
  fleet_.mark_stale();
}

void Scheduler::set_up(BackendId id, bool up) {
  if (!fleet_.set_up(id, up, now_)) return;
  if (!up) return prefixes_.forget(id);
  turns_.sharing().on_emptied(id, fleet_.all(&Backend::has_server));
  if (turns_.is_held_for(id)) fleet_.start_slowly(id);
}

void Scheduler::reroute(const std::function<BackendSet(std::uint64_t)>& find, bool complete) {
  std::vector<Ticket*> moved;
  for (Ticket& ticket : turns_.all()) {
    const BackendSet backends = find(ticket.model) - ticket.never;
    if (backends != ticket.backends || (backends.empty() && complete)) moved.push_back(&ticket);
  }
  for (Ticket* ticket : moved) {
    ticket->backends = find(ticket->model) - ticket->never;
    if (ticket->backends.empty() && complete) {
      turns_.drop_and_refuse(*ticket, Errc::kUnknownModel, now_);
    } else {
      move(*ticket);
    }
  }
}

// --- tickets ------------------------------------------------------------------------------------

void Scheduler::submit(Ticket& ticket) {
  ticket.verdict = {};
  ticket.late = false;
  ticket.beginning = 0;
  if (ticket.costs_budget && !budget_.spend(now_)) {
    return turns_.refuse(ticket, Errc::kRetryBudget);
  }
  // One that comes back has been let in already.
  const bool comes_back = ticket.turn != 0;
  const std::size_t queued = turns_.queued();
  if (!comes_back && queued + ticket.prompts > options_.max_queue && queued > 0) {
    return turns_.refuse(ticket, Errc::kQueueFull);
  }
  fleet_.on_time_given(ticket.deadline - ticket.arrival, now_);
  turns_.clients().on_submitted(ticket, now_);
  assert((ticket.backends - BackendSet::first(fleet_.size())).empty());
  ticket.among = balancer_.candidates(ticket);
  // What takes no room finds an engine as good as idle, however full it is.
  if (!ticket.background && !ticket.immediate) others_.on_submitted(ticket.among, ticket.arrival);
  if (ticket.prefix.empty()) return enter(ticket, {});
  const PrefixIndex::Match match = prefixes_.find(ticket.prefix, ticket.among);
  ticket.set_beginning(match.beginning, match.share);
  if (comes_back) {
    turns_.sharing().on_back(match.beginning, ticket.prompts);
  } else {
    turns_.sharing().on_submitted(match.beginning, ticket.prompts);
  }
  enter(ticket, match);
}

// A ticket that has its turn begins to wait where it belongs.
void Scheduler::enter(Ticket& ticket, const PrefixIndex::Match& match) {
  if (ticket.suspect) ticket.immediate = false;
  if (!fleet_.any(ticket.among, &Backend::serves)) fleet_.mark_stale();
  turns_.enter(ticket, balancer_.home(ticket, match), now_);
}

// Others may serve it from now on.
void Scheduler::move(Ticket& ticket) {
  turns_.leave(ticket);
  ticket.among = balancer_.candidates(ticket);
  enter(ticket, prefixes_.find(ticket.prefix, ticket.among));
}

bool Scheduler::cancel(Ticket& ticket) {
  if (!ticket.turn_hook.is_linked()) return false;
  turns_.drop(ticket, now_);
  return true;
}

void Scheduler::complete(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now,
                         Duration pause) {
  now_ = now;  // for the retry that comes with it: the last take() may be long ago
  fleet_.on_returned(grant, prompts);
  turns_.sharing().on_ended(grant.beginning, prompts);
  if (!grant.takes_room) return;
  if (grant.alone) isolation_.on_completed();
  if (outcome == Outcome::kGood) budget_.on_success(now);
  // The failure of a merged call is one failure, told by the leader.
  const bool tells =
      !grant.is_follower || outcome == Outcome::kGood || outcome == Outcome::kRejected;
  if (tells) {
    fleet_.learn(grant, prompts, outcome, now);
    prospects_.learn(grant, outcome, now);
  }
  fleet_.finish(grant, outcome, pause, now);
}

// --- decisions ----------------------------------------------------------------------------------

void Scheduler::take(TimePoint now, std::vector<Ticket*>& decided) {
  now_ = now;
  isolation_.tidy();
  fleet_.watch_progress(now);
  if (fleet_.is_stale(now)) refresh();
  turns_.refuse_expired(now);
  turns_.refuse_unserved(options_.hold_timeout, now);
  turns_.take_refused(decided);
  if (turns_.queued() > 0) decide(decided);
  turns_.take_refused(decided);
  // With nothing left to wait for, everyone starts anew.
  if (turns_.queued() == 0) turns_.clients().start_anew();
}

// Most of the time nothing has changed, and this is not called.
void Scheduler::refresh() {
  fleet_.begin_refresh(now_);
  for (const BackendId id : fleet_.refresh(turns_.find_unserved(now_), now_)) turns_.release(id);
  // Those that avoid a backend may have nobody else left.
  std::vector<Ticket*> moved;
  turns_.for_each_unserved([&](Ticket& ticket) {
    if (balancer_.candidates(ticket) != ticket.among) moved.push_back(&ticket);
  });
  for (Ticket* ticket : moved) move(*ticket);
}

void Scheduler::decide(std::vector<Ticket*>& decided) {
  Decision decision{.options = options_,
                    .fleet = fleet_,
                    .turns = turns_,
                    .prefixes = prefixes_,
                    .prospects = prospects_,
                    .balancer = balancer_,
                    .merger = merger_,
                    .batches = batches_,
                    .gains = gains_,
                    .others = others_,
                    .draining = draining_,
                    .now = now_,
                    .decided = decided};
  const bool others_first = isolation_.lets_others_first();
  if (!others_first) isolation_.place(decision);
  rule_of(options_.policy).take(decision);
  if (others_first) isolation_.place(decision);
}

// Those of batches are the last whose wait matters.
WaitsFor Scheduler::waits_for() const {
  const Ticket* oldest = nullptr;
  const auto look = [&oldest](const Ticket& ticket) {
    if (oldest == nullptr || EarlierArrival()(ticket, *oldest)) oldest = &ticket;
  };
  for (const auto& queue : turns_.queues()) {
    if (!queue->arrivals.empty()) look(*queue->arrivals.begin());
  }
  for (const Ticket& suspect : turns_.suspects()) look(suspect);
  if (oldest == nullptr) return WaitsFor::kNothing;
  return batchproxy::waits_for(*oldest, fleet_, merger_, options_, now_);
}

std::optional<TimePoint> Scheduler::next_due() const {
  if (turns_.any_refused()) return TimePoint::min();
  std::optional<TimePoint> due;
  const auto sooner = [&due](std::optional<TimePoint> at) {
    if (at) due = due ? std::min(*due, *at) : *at;
  };
  if (!fleet_.watch().is_idle()) sooner(fleet_.watch().due());
  if (!turns_.all().empty()) sooner(turns_.all().begin()->deadline);
  if (turns_.queued() > 0) sooner(fleet_.refresh_due());
  sooner(isolation_.due(now_));
  const FlushRule& rule = rule_of(options_.policy);
  for (const auto& queue : turns_.queues()) {
    if (queue->down_since) {
      sooner(turns_.hold_due(*queue, options_.hold_timeout));
    } else if (!queue->arrivals.empty()) {
      sooner(rule.due(*queue, fleet_, options_));
    }
  }
  return due;
}

}  // namespace batchproxy
