// batcher/decision/balancer.cc - see balancer.h.
#include "batcher/decision/balancer.h"

#include <algorithm>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

namespace {

// A backend that holds a prompt's beginning is preferred unless it is busier than this: the least
// load of all plus a slack, or times kRatio. The slack is small for a beginning that many have
// asked for: others will soon hold it too, and until then its backend must not be swamped.
constexpr double kSlack = 16;  // prompts
constexpr double kHotSlack = 3;
constexpr std::uint32_t kHotUses = 4;
constexpr double kRatio = 1.5;

}  // namespace

BackendSet Balancer::candidates(const Ticket& ticket) const {
  const BackendSet others = ticket.backends - ticket.avoid;
  return fleet_.any(others, &Backend::serves) ? others : ticket.backends;
}

std::optional<BackendId> Balancer::least_loaded(BackendSet among, Fleet::Condition condition) {
  std::optional<BackendId> best;
  std::uint32_t fewest = 0;
  const auto count = static_cast<BackendId>(fleet_.size());
  for (BackendId i = 0; i < count; ++i) {
    const BackendId id = (i + rotation_) % count;
    if (!among.contains(id)) continue;
    const Backend& backend = fleet_[id];
    if ((best && backend.inflight >= fewest) || !(backend.*condition)()) continue;
    best = id;
    fewest = backend.inflight;
  }
  if (best) rotation_ = *best + 1;
  return best;
}

std::optional<BackendId> Balancer::home(const Ticket& ticket) const {
  if (ticket.prefix.empty() || !options_.affinity || !rule_of(options_.policy).goes_by_room()) {
    return std::nullopt;
  }
  double least = 0;
  std::size_t ready = 0;
  for (const Backend& backend : fleet_) {
    const BackendId id = fleet_.id_of(backend);
    if (!backend.ready || !ticket.among.contains(id)) continue;
    least = ready++ == 0 ? load(id) : std::min(least, load(id));
  }
  if (ready < 2) return std::nullopt;
  const PrefixIndex::Match match = prefixes_.find(ticket.prefix);
  const auto home = least_busy_holder(match.holders & ticket.among);
  if (!home) return std::nullopt;
  least += static_cast<double>(waiting_for(ticket.among)) / static_cast<double>(ready);
  const double slack = match.uses < kHotUses ? kSlack : kHotSlack;
  if (load(*home) > std::max(least + slack, least * kRatio)) return std::nullopt;
  return home;
}

// What it has, and what waits for its cache.
double Balancer::load(BackendId id) const {
  return static_cast<double>(fleet_[id].inflight + turns_.affine_prompts(id));
}

std::optional<BackendId> Balancer::least_busy_holder(BackendSet holders) const {
  std::optional<BackendId> best;
  for (const Backend& backend : fleet_) {
    const BackendId id = fleet_.id_of(backend);
    if (!holders.contains(id) || !backend.ready) continue;
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
