// batcher/lane.h - Lane: runs one LaneCore on one io_context; LaneHandle: an I/O thread's end of
// it.
//
//   I/O thread: handle.submit(ticket) ══ message ══▶ lane: LaneCore
//   I/O thread: ticket.sink->on_returned(ticket) ◀══ ticket, with its verdict ══
//
// Messages gather for one turn of the I/O thread's loop and cross in bulk; a sleeping side is woken
// once. When the handle's io_context is the lane's own, nothing crosses: the lane is called
// directly.
//
// This is the only file of batcher/ that knows Asio, and the only one with queues between threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <concurrentqueue/concurrentqueue.h>

#include "batcher/lane_core.h"

namespace batchproxy {

class Lane;

// Threading: confined to the I/O thread whose io_context it was made for, except deliver(), which
// the lane calls.
class LaneHandle {
 public:
  LaneHandle(Lane& lane, std::uint32_t index, boost::asio::io_context& io);

  // Hands `ticket` to the lane; it comes back to ticket.sink with its verdict.
  void submit(Ticket& ticket);

  // Asks for a verdict at once, kCancelled unless it has been decided already. The ticket comes
  // back once for this too, in either case: until then the lane may still look at it.
  // `client_left`: that is why.
  void cancel(Ticket& ticket, bool client_left = false);

  // The call for `ticket` that its verdict granted has ended. Call exactly once per granted ticket.
  // `pause`: how long the backend asked to be left alone.
  void complete(const Ticket& ticket, Outcome outcome, Duration pause = {});

  // A piece of an answer that is passed on as it comes has come from `backend`.
  void on_piece(BackendId backend) {
    std::atomic<std::uint64_t>& pieces = pieces_[backend];
    pieces.store(pieces.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

 private:
  friend class Lane;

  using Inbox = moodycamel::ConcurrentQueue<Ticket*>;

  void send(const LaneMessage& message);
  void flush();
  void deliver(std::vector<Ticket*>& tickets);  // called by the lane, on the lane's thread
  void receive();                               // on our own thread

  Lane& lane_;
  const std::uint32_t index_;
  boost::asio::io_context& io_;
  const bool same_thread_;
  std::vector<LaneMessage> outgoing_;
  std::vector<LaneMessage> sending_;  // outgoing_'s twin, so that its memory is reused
  bool flush_posted_ = false;
  std::array<std::atomic<std::uint64_t>, BackendSet::kMax> pieces_{};  // by BackendId
  Inbox inbox_;
  std::atomic<bool> inbox_awake_{false};
};

// Threading: everything on the lane's io_context, except what says otherwise.
class Lane {
 public:
  using OnBatchDone = std::function<void(const BatchSummary&)>;
  using OnStall = std::function<void(const Stall&)>;
  using OnRecall = std::function<void(const Recall&)>;

  Lane(boost::asio::io_context& io, const SchedulerOptions& options);

  // Makes the end for one I/O thread. Start-up only: all handles exist before the threads run.
  LaneHandle& add_handle(boost::asio::io_context& io);

  // Tells `done` about every batch when its last answer is in. Start-up only.
  void watch_batches(OnBatchDone done) { core_.events().on_batch_done = std::move(done); }
  // Tells of every backend that stands still, and when it moves again. Start-up only.
  void watch_stalls(OnStall stall) { core_.events().on_stall = std::move(stall); }
  // Tells of what is to come back from a backend. Start-up only.
  void watch_recalls(OnRecall recall) { core_.events().on_recall = std::move(recall); }

  // Threading: any thread; takes effect on the lane.
  void add_backend(BackendId id, const BackendTraits& traits);
  void set_backend(BackendId id, const BackendTraits& traits);
  void set_up(BackendId id, bool up);
  void set_routes(Routes routes);
  void set_options(const SchedulerOptions& options);
  void observe(BackendId id, const std::optional<EngineSample>& sample);
  void drain();

  // Threading: any thread.
  const LaneStats& stats() const { return core_.stats(); }

 private:
  friend class LaneHandle;
  using Incoming = moodycamel::ConcurrentQueue<LaneMessage>;

  template <class Change>
  void change(Change change);
  void wake();  // any thread
  void run();
  void handle(const LaneMessage& message, TimePoint time) { core_.handle(message, time); }
  void decide(TimePoint time);
  void tell_pieces(TimePoint time);
  void arm_timer();

  boost::asio::io_context& io_;
  LaneCore core_;
  boost::asio::steady_timer timer_;
  TimePoint armed_ = TimePoint::max();
  std::vector<std::unique_ptr<LaneHandle>> handles_;
  std::vector<LaneMessage> received_;
  Incoming incoming_;
  std::atomic<bool> awake_{false};
};

}  // namespace batchproxy
