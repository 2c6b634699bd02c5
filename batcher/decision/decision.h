// batcher/decision/decision.h - Decision: one take() of the scheduler. It holds the parts that a
// flush rule looks at, and grants tickets on its behalf.
//
// It lives for one call, so that nothing of one decision is left for the next.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/flush_reason.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/decision/balancer.h"
#include "batcher/decision/batches.h"
#include "batcher/decision/merger.h"
#include "batcher/fleet/fleet.h"
#include "batcher/fleet/others_asking.h"
#include "batcher/fleet/prefix_index.h"
#include "batcher/turns/prospects.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

// Tickets so far that were granted to a backend because it held their beginning; calls so far that
// carried several tickets, and how many.
struct Gains {
  std::uint64_t affine = 0;
  std::uint64_t merged_calls = 0;
  std::uint64_t merged_tickets = 0;
};

class Decision {
 public:
  // The parts, for all to use.
  const SchedulerOptions& options;
  Fleet& fleet;
  Turns& turns;
  PrefixIndex& prefixes;
  Prospects& prospects;
  Balancer& balancer;
  Merger& merger;
  Batches& batches;
  Gains& gains;
  OthersAsking& others;
  const bool draining;  // batches no longer wait to fill
  const TimePoint now;
  std::vector<Ticket*>& decided;

  // The first of `turns` that may go; see Prospects::first().
  Ticket* first(TurnSet& waiting, const Backend* backend) {
    return prospects.first(waiting, backend, now);
  }

  // The backend that a ticket that waits had better have now: others have been sent since it came.
  // None either if that one could not answer it in time.
  std::optional<BackendId> home_of(Ticket& ticket);

  // Takes `ticket` out of its queue into the open batch of backend `id`. A batch that is full, or
  // that cannot hold it, is closed.
  void grant(Ticket& ticket, BackendId id, FlushReason reason);
  // Grants `leader`, and whatever may share its call, up to `max_inflight` prompts of the backend.
  void grant_merged(Ticket& leader, BackendId id, FlushReason reason, std::uint32_t max_inflight);
  // Grants a ticket as a batch of its own.
  void grant_alone(Ticket& ticket, BackendId id);

  // Grants all of `queue` that need no slot of an engine.
  void take_at_once(Queue& queue);
  // Grants each ticket of `queue` that `goes` by itself, while a backend is ready.
  void take_each(Queue& queue, auto goes);

  void close_batch(BackendId id, FlushReason reason) { batches.close(id, reason, decided); }
  void close_batches(FlushReason reason) { batches.close_all(reason, decided); }

 private:
  void note_beginning(const Ticket& ticket, BackendId id);
};

void Decision::take_each(Queue& queue, auto goes) {
  for (auto it = queue.central.begin(); it != queue.central.end();) {
    Ticket& ticket = *it++;
    if (!goes(ticket)) continue;
    const auto backend = balancer.least_loaded(queue.backends, &Backend::is_ready);
    if (!backend) return;
    grant_alone(ticket, *backend);
  }
}

}  // namespace batchproxy
