// batcher/scheduler.h - decides which requests leave together, when, and to which backend.
//
// Sans-io: no socket, timer, lock or clock. Time comes in as an argument, verdicts come out of
// take(); Lane (lane.h) does the waiting.
//
// Policy (docs/DESIGN.md, "Scheduling"):
//  eager  A ticket is granted the moment a backend has room (fewer than max_num_seqs prompts in
//         flight), to the one with the fewest. A ticket that has waited batch_timeout goes to the
//         least loaded backend beyond its room, never beyond 2 x max_num_seqs.
//  fixed  The classic collector: a queue leaves when it holds batch_size prompts or its oldest has
//         waited batch_timeout; the batch goes to the backend with the fewest in flight. Streams
//         skip it.
//  off    Every ticket is granted at once.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "batcher/ticket.h"

namespace batchproxy {

enum class FlushPolicy { kEager, kFixed, kOff };

struct SchedulerOptions {
  FlushPolicy policy = FlushPolicy::kEager;
  std::uint32_t batch_size = 16;  // prompts
  Duration batch_timeout = std::chrono::milliseconds(500);
  std::size_t max_queue = 100000;  // prompts
};

// Invariants:
//  - A submitted ticket comes out of take() exactly once, granted or refused, unless cancel()
//    returned true for it.
//  - Tickets of one queue are granted in order of arrival.
//  - No batch holds more than batch_size prompts, unless it is a single client's longer list.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Introduces backend `id`, or changes how many prompts it runs at once. New ones are not ready.
  void set_backend(BackendId id, std::uint32_t max_num_seqs);
  void set_ready(BackendId id, bool ready);

  // Queues `ticket`, which must stay where it is until its verdict. A ticket older than others (a
  // retry) takes its place by arrival.
  void submit(Ticket& ticket);

  // Takes a ticket out of its queue; false when it has its verdict already.
  bool cancel(Ticket& ticket);

  // `prompts` prompts granted to `backend` have been answered, or have failed.
  void complete(BackendId backend, std::uint32_t prompts);

  // Batches no longer wait to fill, now and later.
  void drain() { draining_ = true; }

  // Appends every ticket decided at `now`.
  void take(TimePoint now, std::vector<Ticket*>& decided);

  // When take() may next decide something if nothing else happens; nothing means "not before".
  std::optional<TimePoint> next_due() const;

  std::size_t queued() const { return queued_; }  // prompts
  std::uint32_t inflight(BackendId id) const { return backends_[id].inflight; }
  std::size_t backend_count() const { return backends_.size(); }
  // Batches so far, by FlushReason.
  std::uint64_t batches(FlushReason reason) const {
    return batches_[static_cast<std::size_t>(reason)];
  }

 private:
  struct Backend {
    std::uint32_t max_num_seqs = 0;
    std::uint32_t inflight = 0;
    bool ready = false;
    std::vector<Ticket*> open;  // granted in this take(), batch not closed yet
    std::uint32_t open_prompts = 0;

    bool has_room() const { return ready && inflight < max_num_seqs; }
    bool below_max_inflight() const { return ready && inflight < 2 * max_num_seqs; }
  };

  using TicketList =
      intrusive::list<Ticket, intrusive::member_hook<Ticket, QueueHook, &Ticket::queue_hook>,
                      intrusive::constant_time_size<false>>;
  struct EarlierDeadline {
    bool operator()(const Ticket& a, const Ticket& b) const { return a.deadline < b.deadline; }
  };
  using DeadlineSet = intrusive::multiset<
      Ticket, intrusive::member_hook<Ticket, DeadlineHook, &Ticket::deadline_hook>,
      intrusive::compare<EarlierDeadline>, intrusive::constant_time_size<false>>;

  // Tickets that the same backends may serve, by arrival. With one model there is one queue.
  struct Queue {
    BackendSet backends;
    TicketList tickets;
    std::size_t prompts = 0;
  };

  Queue& queue_for(BackendSet backends);
  static TicketList::iterator place_by_arrival(Queue& queue, const Ticket& ticket);
  void unlink(Ticket& ticket);
  void refuse(Ticket& ticket, Errc why);
  void refuse_unserved();
  void refuse_expired(TimePoint now);
  void grant(Ticket& ticket, BackendId backend, FlushReason reason);
  void close_batch(Backend& backend, FlushReason reason);
  bool is_immediate(const Ticket& ticket) const;

  void take_immediate(Queue& queue);
  void take_eager();
  void take_overdue(Queue& queue, TimePoint now);
  void take_fixed(Queue& queue, TimePoint now);
  void cut_batch(Queue& queue, FlushReason reason);
  struct Due {
    TimePoint at;
    FlushReason reason;
  };
  Due fixed_due(const Queue& queue) const;

  template <class Admissible>
  std::optional<BackendId> least_loaded(BackendSet among, Admissible admissible);
  Ticket* oldest_for(BackendId backend);
  bool any_ready(BackendSet among) const;

  const SchedulerOptions options_;
  std::vector<Backend> backends_;
  std::vector<std::unique_ptr<Queue>> queues_;  // one per distinct BackendSet seen
  DeadlineSet deadlines_;                       // every queued ticket
  std::vector<Ticket*> refused_;                // decided since the last take()
  std::vector<Ticket*>* decided_ = nullptr;     // take()'s output while it runs
  std::size_t queued_ = 0;
  std::uint64_t last_batch_ = 0;
  std::uint32_t rotation_ = 0;  // where the search for the least loaded starts, to spread ties
  std::array<std::uint64_t, kAllFlushReasons.size()> batches_{};
  bool draining_ = false;
};

}  // namespace batchproxy
