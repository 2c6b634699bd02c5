// tests/fault_sim/sim_lane.h - SimLane and SimLaneHandle: drive a LaneCore (batcher/lane_core.h) in
// virtual time, as Lane and LaneHandle do between threads, and under the eyes of a LaneOracle.
//
// Messages take their time, in both directions, as they do between threads: a cancel can cross a
// verdict, and a backend can be granted that the control thread knows to be gone.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "batcher/lane_core.h"
#include "tests/fault_sim/lane_oracle.h"
#include "tests/fault_sim/virtual_time.h"

namespace batchproxy::fault_sim {

class SimLane;

class SimLaneHandle {
 public:
  SimLaneHandle(SimLane& lane, std::uint32_t index, VirtualTime& time, Dice& dice);

  // As LaneHandle's. `tried`: for the oracle.
  void submit(Ticket& ticket, Tried tried);
  void cancel(Ticket& ticket, bool client_left = false);
  void complete(const Ticket& ticket, Outcome outcome, Duration pause);

  // All that comes to its thread comes this way, from the lane and from the control thread: an
  // io_context has one queue.
  Channel& to_thread() { return to_thread_; }

 private:
  friend class SimLane;
  // A message, and what only the oracle is told of it.
  struct Sent {
    LaneMessage message;
    const Ticket* ticket = nullptr;
    Tried tried{};
  };

  void send(const Sent& sent);

  SimLane& lane_;
  const std::uint32_t index_;
  Channel to_lane_;
  Channel to_thread_;
  std::vector<Sent> outgoing_;
};

class SimLane {
 public:
  SimLane(VirtualTime& time, Dice& dice, const SchedulerOptions& options);

  SimLaneHandle& add_handle();

  // As Lane's.
  void set_backend(BackendId id, const BackendTraits& traits, bool is_new);
  void set_up(BackendId id, bool up);
  void set_routes(Routes routes);
  void set_options(const SchedulerOptions& options);
  void observe(BackendId id, const std::optional<EngineSample>& sample);
  void drain();

  std::uint32_t inflight(BackendId id) const {
    return id < core_.scheduler().backend_count() ? core_.scheduler().inflight(id) : 0;
  }
  const LaneOracle& oracle() const { return oracle_; }

  // As Lane::watch_stalls() and Lane::watch_recalls().
  std::function<void(const Stall&)> on_stall;
  LaneEvents& events() { return core_.events(); }

 private:
  friend class SimLaneHandle;

  void handle(std::uint32_t handle, const SimLaneHandle::Sent& sent);
  void tell_stalls();
  void decide();
  template <class Change>
  void change(Change change);
  void arm_timer();
  void on_timer();

  VirtualTime& time_;
  Dice& dice_;
  LaneCore core_;
  LaneOracle oracle_;
  Channel from_control_;
  TimePoint armed_ = TimePoint::max();
  std::vector<std::unique_ptr<SimLaneHandle>> handles_;
  std::vector<Stall> stalls_;  // still to be told
  TimePoint last_wake_{};
  int idle_wakes_ = 0;  // of the timer, in which nothing was decided, at last_wake_
};

}  // namespace batchproxy::fault_sim
