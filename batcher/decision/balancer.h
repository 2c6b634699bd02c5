// batcher/decision/balancer.h - Balancer: which backend is best for a ticket.
//
// It only looks, at the fleet, at what waits, and at which backends hold a prompt's beginning; it
// moves and grants nothing. All that it remembers is where its last searches ended, to go round.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/fleet/fleet.h"
#include "batcher/fleet/prefix_index.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

class Balancer {
 public:
  // What is passed must outlive it.
  Balancer(const SchedulerOptions& options, const Fleet& fleet, const Turns& turns)
      : options_(options), fleet_(fleet), turns_(turns) {}

  // Which backends may have the ticket now. Those that have failed it are left out, unless no other
  // serves.
  BackendSet candidates(const Ticket& ticket) const;

  // For a ticket that no backend is better for than another, and whose answer is short: the one
  // whose turn it is of those that have room and not many prompts more than the least busy one.
  // Prompts that come to an engine together are computed together and answered together; were each
  // followed by one to the same engine, they would stay together, and its steps be full of prompts
  // now and empty then. None for any other ticket.
  std::optional<BackendId> next_in_turn(const Ticket& ticket, BackendSet among);

  // Of those that meet the condition, the one with the fewest prompts in flight; ties go round.
  std::optional<BackendId> least_loaded(BackendSet among, Fleet::Condition condition);

  // The backend that the ticket had better have: one that holds the beginning of its prompt and is
  // not much busier than the others; else one for a new beginning, if prompts begin alike here;
  // else none in particular.
  // `match` says who holds it, of those that may serve it.
  std::optional<BackendId> home(const Ticket& ticket, const PrefixIndex::Match& match) const;

 private:
  // Loads in prompts, of those that are ready.
  struct Loads {
    double least = 0;
    double mean = 0;
    double coming = 0;  // to each of them, that waits for none in particular
    double all = 0;
  };
  std::optional<Loads> loads_of(BackendSet among) const;
  double load(BackendId id) const;
  bool is_everyones(std::uint64_t beginning, const Loads& loads) const;
  double most_at_home(std::uint64_t beginning, const Loads& loads) const;
  std::optional<BackendId> place(BackendSet among, const Loads& loads) const;
  std::optional<BackendId> least_busy_holder(BackendSet holders) const;
  std::size_t waiting_for(BackendSet among) const;

  const SchedulerOptions& options_;
  const Fleet& fleet_;
  const Turns& turns_;
  std::uint32_t rotation_ = 0;  // where the next search for the least loaded starts
  std::uint32_t turn_ = 0;      // whose turn it is
};

}  // namespace batchproxy
