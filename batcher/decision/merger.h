// batcher/decision/merger.h - Merger: which tickets share one call to an engine.
//
// A merged call has a leader and followers. Merging pays while the engine's HTTP front end is the
// bottleneck: then short answers, whose usage the engine tells apart, go out as one list. A backend
// with many merged calls outstanding is not given the next one yet, so that it carries many.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/fleet/fleet.h"
#include "batcher/turns/prospects.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

class Merger {
 public:
  // Calls that could carry several tickets, outstanding at a backend: with so many it waits.
  static constexpr std::uint32_t kCalls = 16;

  // What is passed must outlive it.
  Merger(const SchedulerOptions& options, const Fleet& fleet, Turns& turns,
         const Prospects& prospects)
      : options_(options), fleet_(fleet), turns_(turns), prospects_(prospects) {}

  // Whether `backend` could answer the ticket in a call with others.
  bool mergeable(const Ticket& ticket, const Backend& backend) const;
  // Whether it is to be so now.
  bool merges_now(const Ticket& ticket, const Backend& backend) const;
  // Whether `backend` has calls enough, and the ticket is better off when others join it.
  bool gathers(const Ticket& ticket, const Backend& backend) const;

  // Appends up to `most` waiting tickets that can follow `leader` to backend `id`, in
  // order of turn. A client whose next ticket does not fit contributes none of those behind it.
  void find_followers(const Ticket& leader, BackendId id, std::uint32_t most, TimePoint now,
                      std::vector<Ticket*>& followers);

  // The first waiting ticket that `id` could send by itself, while those that are merged gather.
  Ticket* first_alone(BackendId id, TimePoint now);

 private:
  bool can_follow(const Ticket& ticket, const Ticket& leader, BackendId id, TimePoint now) const;
  bool front_ends_bound(BackendSet among) const;
  std::size_t window() const;

  const SchedulerOptions& options_;
  const Fleet& fleet_;
  Turns& turns_;
  const Prospects& prospects_;
  // Of one find_followers(); a member so that its memory is reused.
  std::vector<std::uint64_t> passed_clients_;
};

}  // namespace batchproxy
