// batcher/scheduler.h - Scheduler: decides which requests leave together, when, and to which
// backend.
//
// Sans-io: no socket, timer, lock or clock. Time comes in as an argument, verdicts come out of
// take(); Lane (lane.h) does the waiting.
//
// The scheduler is a face. The rules are in its parts, each a type of its own (docs/SCHEDULING.md
// says why they are so, with figures):
//  Turns      turns/turns.h         who waits, and whose turn it is
//  Prospects  turns/prospects.h     what can still be answered in time
//  Fleet      fleet/fleet.h         which backends take requests, and how many
//  Balancer   decision/balancer.h   which backend is best for a ticket
//  Merger     decision/merger.h     which tickets share a call
//  Batches    decision/batches.h    what is granted in one go leaves as a batch
//  Isolation  decision/isolation.h  a backend to itself for what may have brought engines down
//  FlushRule  base/flush_rule.h     when tickets leave: one class for each policy
//
// While no backend that serves a ticket takes requests, the ticket is held.
//
// Threading: confined to the lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/base/ticket.h"
#include "batcher/decision/balancer.h"
#include "batcher/decision/batches.h"
#include "batcher/decision/decision.h"
#include "batcher/decision/isolation.h"
#include "batcher/decision/merger.h"
#include "batcher/decision/waits_for.h"
#include "batcher/fleet/fleet.h"
#include "batcher/fleet/prefix_index.h"
#include "batcher/fleet/retry_budget.h"
#include "batcher/turns/prospects.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

// Invariants:
//  - A submitted ticket comes out of take() exactly once, granted or refused, unless cancel()
//    returned true for it.
//  - A ticket is not granted to a backend while an older one of its client waits that this backend
//    could take, unless that one waits for others to share its call.
//  - No batch holds more than batch_size prompts, unless it is a single client's longer list.
class Scheduler {
 public:
  using Gains = batchproxy::Gains;

  explicit Scheduler(const SchedulerOptions& options);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Other rules from now on, also for what waits.
  void set_options(const SchedulerOptions& options);

  // Introduces backend `id`, which is not up. If the id was another's, that one is gone, and
  // nothing is in flight there.
  void add_backend(BackendId id, const BackendTraits& traits);
  // Says more about it.
  void set_backend(BackendId id, const BackendTraits& traits);
  // Whether its server is there. When it goes, what waited for its cache goes elsewhere, and its
  // cache is taken to be lost.
  void set_up(BackendId id, bool up);

  // Looks up anew who may serve each waiting ticket; `find` says it of a Ticket::model. Tickets
  // that nobody will serve are refused if `complete`.
  void reroute(const std::function<BackendSet(std::uint64_t)>& find, bool complete);

  // The backend's metrics, read once; nothing when they could not be read.
  void observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now) {
    fleet_.observe(id, sample, now);
  }

  // Queues `ticket`, which must stay where it is until its verdict. A ticket that comes back (a
  // retry) takes its old place.
  void submit(Ticket& ticket);

  // Takes a ticket out of its queue; false when it has its verdict already.
  bool cancel(Ticket& ticket);
  // The client of a waiting ticket has left.
  void on_left(const Ticket& ticket, TimePoint now) { prospects_.on_left(ticket, now); }

  // `prompts` prompts that were granted with `grant` have been answered, or have failed. `pause`:
  // how long the backend asked to be left alone.
  void complete(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now,
                Duration pause = {});

  // Bytes of an answer that is passed on as it comes have come from the backend.
  void on_bytes(BackendId id, TimePoint now) { fleet_.on_bytes(id, now); }

  // Backends that have stopped or moved again since the last call.
  bool has_stalls() const { return fleet_.watch().has_stalls(); }
  std::vector<Stall> take_stalls() { return fleet_.watch().take_stalls(); }
  // Calls that are to come back, since the last call.
  bool has_recalls() const { return prospects_.has_recalls(); }
  std::vector<Recall> take_recalls() { return prospects_.take_recalls(); }
  // When progress is looked at next: on_bytes() must have told by then.
  TimePoint progress_due() const { return fleet_.watch().due(); }

  // Batches no longer wait to fill, now and later.
  void drain() { draining_ = true; }

  // Appends every ticket decided at `now`; a leader's followers come right behind it.
  void take(TimePoint now, std::vector<Ticket*>& decided);

  // When take() may next decide something if nothing else happens; nothing means "not before".
  std::optional<TimePoint> next_due() const;

  std::size_t queued() const { return turns_.queued(); }           // prompts
  std::size_t clients() const { return turns_.clients().size(); }  // that are remembered
  std::size_t backend_count() const { return fleet_.size(); }
  // What the oldest of those waits for that the last take() has left.
  WaitsFor waits_for() const;
  // Backends of which something may be another since the last call.
  BackendSet take_touched() { return fleet_.take_touched(); }
  std::uint32_t inflight(BackendId id) const { return fleet_[id].inflight + fleet_[id].roomless; }
  // How many prompts the backend may have at most now; 0 while it is given none.
  std::uint32_t max_inflight(BackendId id) const {
    return fleet_[id].ready ? fleet_[id].max_inflight() : 0;
  }
  std::uint32_t room(BackendId id) const { return fleet_[id].room.prompts(); }
  bool front_end_bound(BackendId id) const { return fleet_[id].room.front_end_bound(); }
  // Whether it is given next to none, since calls to it have failed.
  bool breaker_open(BackendId id) const { return !fleet_[id].breaker.is_closed(); }
  // Whether they fail still, as far as is known: its server has not come back since.
  bool failing(BackendId id) const { return fleet_[id].breaker.is_failing(); }
  // What nearly all its answers take; zero while too few are known.
  Duration usual(BackendId id) const { return fleet_.usual(fleet_[id]); }
  bool stuck(BackendId id) const { return fleet_[id].stuck; }
  // Since when it has requests in hand and no byte has come. Nothing while it has none but those
  // that take no room, which say nothing of its progress.
  std::optional<TimePoint> quiet_since(BackendId id) const {
    if (fleet_[id].inflight == 0) return std::nullopt;
    return fleet_[id].progress.quiet_since();
  }
  // Batches so far, by FlushReason.
  std::uint64_t batches(FlushReason reason) const { return batches_.count(reason); }
  const Gains& gains() const { return gains_; }

 private:
  void enter(Ticket& ticket, const PrefixIndex::Match& match);
  void move(Ticket& ticket);
  void refresh();
  void decide(std::vector<Ticket*>& decided);

  // Each part is given those above that it needs.
  SchedulerOptions options_;
  Fleet fleet_{options_};
  Turns turns_{fleet_};
  PrefixIndex prefixes_;
  Balancer balancer_{options_, fleet_, turns_};
  Prospects prospects_{options_, fleet_, turns_};
  Merger merger_{options_, fleet_, turns_, prospects_};
  Batches batches_;
  Isolation isolation_{fleet_, turns_};
  RetryBudget budget_;
  Gains gains_;
  OthersAsking others_;
  TimePoint now_{};        // of the last take() or complete(): for what is told without a time
  bool draining_ = false;  // batches no longer wait to fill
};

}  // namespace batchproxy
