// batcher/turns/turns.h - Turns: the tickets that wait, and the order in which their turns come.
//
// Tickets that the same backends may serve share a Queue. Within it a ticket stands in one of four
// places, each in order of turn:
//   central   it waits for no backend in particular
//   affine    it waits for the backend that has its prompt's beginning, or shall have it
//   at_once   it needs no slot of an engine
//   late      its client will have left by the time of an answer: when nobody else waits
// A suspect, which may have brought engines down, stands apart from all queues until it can have a
// backend to itself.
//
// A ticket goes out by leave(), when it is granted, or by drop(), when it is not.
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/fleet/fleet.h"
#include "batcher/turns/clients.h"
#include "batcher/turns/sharing.h"
#include "batcher/turns/ticket_sets.h"

namespace batchproxy {

// Tickets that the same backends may serve. With one model there is one queue.
struct Queue {
  BackendSet backends;
  TurnSet central;
  TurnSet at_once;
  TurnSet late;
  ArrivalSet arrivals;  // all, those that wait for one backend too
  std::size_t prompts = 0;
  std::size_t central_prompts = 0;
  std::optional<TimePoint> down_since;  // none of its backends serves
};

class Turns {
 public:
  // `fleet` must outlive it.
  explicit Turns(const Fleet& fleet) : fleet_(fleet) {}
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // There is a new backend `id`: nothing waits for its cache.
  void add_backend(BackendId id);

  // --- tickets come and go ---
  // A ticket that has its turn begins to wait for those of Ticket::among; `home`: for that one's
  // cache.
  void enter(Ticket& ticket, std::optional<BackendId> home, TimePoint now);
  void leave(Ticket& ticket);
  void drop(Ticket& ticket, TimePoint now);
  // A ticket that does not wait (any more) is decided.
  void refuse(Ticket& ticket, Errc why);
  void drop_and_refuse(Ticket& ticket, Errc why, TimePoint now);
  // Those whose deadline has come, and those that none of their backends can serve for too long.
  void refuse_expired(TimePoint now);
  void refuse_unserved(Duration hold_timeout, TimePoint now);
  // Hands over what was refused.
  void take_refused(std::vector<Ticket*>& decided) {
    if (!refused_.empty()) hand_over_refused(decided);
  }

  // --- within a queue ---
  // It waits for the cache of `home` from now on, or for no backend in particular.
  void move(Ticket& ticket, std::optional<BackendId> home);
  // What waits for its cache waits for any.
  void release(BackendId id);
  // It goes only when nobody else waits.
  void stand_back(Ticket& ticket);
  // Those that stand back wait as all others do.
  void call_back();

  // --- who waits ---
  const std::vector<std::unique_ptr<Queue>>& queues() const { return queues_; }
  TurnSet& affine(BackendId id) { return affine_[id].turns; }
  const TurnSet& affine(BackendId id) const { return affine_[id].turns; }
  std::size_t affine_prompts(BackendId id) const { return affine_[id].prompts; }
  TurnSet& suspects() { return suspects_; }
  const TurnSet& suspects() const { return suspects_; }
  DeadlineSet& all() { return deadlines_; }
  const DeadlineSet& all() const { return deadlines_; }
  std::size_t queued() const { return queued_; }  // prompts
  bool any_refused() const { return !refused_.empty(); }
  // Backends for which something waits: for the cache of one, or for any of several.
  BackendSet waited_for() const;
  // The queue of those that only `backends` may serve.
  Queue& queue_for(BackendSet backends, TimePoint now);

  // --- outages ---
  // Looks which queues have no backend that serves. Returns all backends that some ticket waits for
  // although none of them serves.
  BackendSet find_unserved(TimePoint now);
  // Whether something waits for `id`, and for others that do not serve either.
  bool is_held_for(BackendId id) const;
  // Calls `visit` with each ticket that none of its backends serves.
  void for_each_unserved(auto&& visit);
  // When the first that waits for a queue without a backend has waited too long.
  std::optional<TimePoint> hold_due(const Queue& queue, Duration hold_timeout) const;

  Clients& clients() { return clients_; }
  const Clients& clients() const { return clients_; }
  Sharing& sharing() { return sharing_; }
  const Sharing& sharing() const { return sharing_; }

 private:
  struct Affine {
    TurnSet turns;
    std::size_t prompts = 0;
  };

  Queue& queue_of(const Ticket& ticket);
  void look_at(Queue& queue, TimePoint now);
  TurnSet& place_of(const Ticket& ticket, Queue& queue);
  void put(Ticket& ticket, Queue& queue, std::optional<BackendId> home);
  void take_out(Ticket& ticket, Queue& queue);
  void hand_over_refused(std::vector<Ticket*>& decided);
  void count_in(const Ticket& ticket, Queue& queue, std::size_t prompts);
  Errc why_unserved(BackendSet among) const;

  const Fleet& fleet_;
  Clients clients_;
  Sharing sharing_;
  std::vector<std::unique_ptr<Queue>> queues_;  // one per distinct BackendSet seen
  std::vector<Affine> affine_;                  // by backend
  BackendSet with_affine_;                      // for whose cache something waits
  TurnSet suspects_;
  DeadlineSet deadlines_;         // every ticket
  std::vector<Ticket*> refused_;  // since the last take_refused()
  std::size_t queued_ = 0;        // prompts
};

void Turns::for_each_unserved(auto&& visit) {
  for (const auto& queue : queues_) {
    if (!queue->down_since) continue;
    for (Ticket& ticket : queue->arrivals) visit(ticket);
  }
  for (Ticket& suspect : suspects_) {
    if (!fleet_.any(suspect.among, &Backend::serves)) visit(suspect);
  }
}

}  // namespace batchproxy
