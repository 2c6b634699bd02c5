// batcher/decision/balancer.cc - see balancer.h.
#include "batcher/decision/balancer.h"

#include <algorithm>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

namespace {

// Constants come from simulation (docs/SCHEDULING.md). A beginning that is elsewhere costs a
// prefill, and an engine that has enough to do loses nothing by having less than another. So
// prompts stay with a backend that holds their beginning until it is far busier than the least busy
// of all: by so many prompts, or by so many times the mean.
constexpr double kSlack = 32;
constexpr double kSlackOfMean = 1.75;
// But a beginning that so many of all prompts here have at the moment must spread, or it brings
// about by itself that one engine has all the work and the others none.
constexpr double kHotShare = 0.3;
constexpr double kHotSlack = 1;
// A small number is never hot, and beyond some number a smaller share is.
constexpr double kColdPrompts = 2;
constexpr double kHotPrompts = 10;
constexpr double kHotShareOfMany = 0.1;
// One that more than this share has is no reason to prefer a backend: all of them have it, or
// should.
constexpr double kEveryonesShare = 0.4;
// Turns let a backend have so much more than the least busy one, of what the mean has beyond two:
// with one or two prompts each, more for one would be none for another.
constexpr double kTurnSlack = 0.75;
constexpr double kFewPrompts = 2;
// A new beginning goes to the backend that was sent the fewest of late, and not to the one with the
// fewest prompts: most of the prompts that it brings are still to come. A backend that is slower is
// known by having more in flight, and is left out.
constexpr double kPlaceSlack = 3;
constexpr double kPlaceSlackBelowMean = 2;

}  // namespace

BackendSet Balancer::candidates(const Ticket& ticket) const {
  const BackendSet others = ticket.backends - ticket.avoid;
  return fleet_.any(others, &Backend::serves) ? others : ticket.backends;
}

std::optional<BackendId> Balancer::next_in_turn(const Ticket& ticket, BackendSet among) {
  if (!ticket.short_answer) return std::nullopt;
  const std::optional<Loads> loads = loads_of(among);
  if (!loads) return std::nullopt;
  const bool alike = !turns_.sharing().is_common() || is_everyones(ticket.beginning, *loads);
  if (!alike) return std::nullopt;
  const double most = loads->least + kTurnSlack * std::max(0.0, loads->mean - kFewPrompts);
  const auto count = static_cast<BackendId>(fleet_.size());
  for (BackendId i = 0; i < count; ++i) {
    const BackendId id = (i + turn_) % count;
    if (!among.contains(id) || !fleet_[id].has_room() || load(id) > most) continue;
    turn_ = id + 1;
    return id;
  }
  return std::nullopt;
}

std::optional<BackendId> Balancer::least_loaded(BackendSet among, Fleet::Condition condition) {
  std::optional<BackendId> best;
  std::uint32_t fewest = 0;
  for (const BackendId id : among) {
    const Backend& backend = fleet_[id];
    // Of those with as few, the first from rotation_ on, else the first.
    const bool has_fewer = !best || backend.inflight < fewest ||
                           (backend.inflight == fewest && *best < rotation_ && id >= rotation_);
    if (!has_fewer || !(backend.*condition)()) continue;
    best = id;
    fewest = backend.inflight;
  }
  if (best) rotation_ = *best + 1;
  return best;
}

std::optional<BackendId> Balancer::home(const Ticket& ticket,
                                        const PrefixIndex::Match& match) const {
  if (ticket.prefix.empty() || !options_.affinity || !rule_of(options_.policy).goes_by_room()) {
    return std::nullopt;
  }
  const std::optional<Loads> loads = loads_of(ticket.among);
  if (!loads) return std::nullopt;
  if (is_everyones(match.beginning, *loads)) return std::nullopt;
  const auto home = least_busy_holder(match.holders);
  if (home && load(*home) <= most_at_home(match.beginning, *loads)) return home;
  // Else as if it were new: that may be the same one again, if it is not too busy for that.
  return place(ticket.among, *loads);
}

// None with fewer than two to choose from.
std::optional<Balancer::Loads> Balancer::loads_of(BackendSet among) const {
  Loads loads;
  double ready = 0;
  for (const Backend& backend : fleet_) {
    const BackendId id = fleet_.id_of(backend);
    if (!backend.ready || !among.contains(id)) continue;
    const double its = load(id);
    loads.least = ready++ == 0 ? its : std::min(loads.least, its);
    loads.all += its;
  }
  if (ready < 2) return std::nullopt;
  const auto waiting = static_cast<double>(waiting_for(among));
  loads.all += waiting;
  loads.mean = loads.all / ready;
  loads.coming = waiting / ready;
  return loads;
}

bool Balancer::is_everyones(std::uint64_t beginning, const Loads& loads) const {
  const double demand = turns_.sharing().demand(beginning);
  return demand > std::max(kColdPrompts, kEveryonesShare * loads.all);
}

double Balancer::most_at_home(std::uint64_t beginning, const Loads& loads) const {
  const double hot = std::min(std::max(kColdPrompts, kHotShare * loads.all),
                              std::max(kHotPrompts, kHotShareOfMany * loads.all));
  const double least = loads.least + loads.coming;
  if (turns_.sharing().demand(beginning) > hot) return least + kHotSlack;
  return least + std::max(kSlack, kSlackOfMean * loads.mean);
}

std::optional<BackendId> Balancer::place(BackendSet among, const Loads& loads) const {
  const Sharing& sharing = turns_.sharing();
  if (!sharing.is_common()) return std::nullopt;
  const double most = loads.least + std::max(kPlaceSlack, loads.mean - kPlaceSlackBelowMean);
  std::optional<BackendId> best;
  for (const Backend& backend : fleet_) {
    const BackendId id = fleet_.id_of(backend);
    const bool has_room = backend.ready && load(id) < backend.room_now();
    if (!among.contains(id) || !has_room || load(id) > most) continue;
    if (!best || sharing.placed(id) < sharing.placed(*best)) best = id;
  }
  return best;
}

// What it has, and what waits for its cache.
double Balancer::load(BackendId id) const {
  return static_cast<double>(fleet_[id].inflight + turns_.affine_prompts(id));
}

std::optional<BackendId> Balancer::least_busy_holder(BackendSet holders) const {
  std::optional<BackendId> best;
  for (const BackendId id : holders) {
    if (!fleet_[id].ready) continue;
    if (!best || load(id) < load(*best)) best = id;
  }
  return best;
}

// Prompts that any of `among` may have.
std::size_t Balancer::waiting_for(BackendSet among) const {
  for (const auto& queue : turns_.queues()) {
    if (queue->backends == among) return queue->central_prompts;
  }
  return 0;
}

}  // namespace batchproxy
