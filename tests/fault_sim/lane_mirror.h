// tests/fault_sim/lane_mirror.h - LaneMirror and PortMirror: what Lane and LanePort
// (batcher/lane.h) do with a Scheduler, in virtual time and under the eyes of a LaneOracle.
//
// Messages take their time, in both directions, as they do between threads: a cancel can cross a
// verdict, and a backend can be granted that the control thread knows to be gone.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "batcher/scheduler.h"
#include "tests/fault_sim/lane_oracle.h"
#include "tests/fault_sim/virtual_time.h"

namespace batchproxy::fault_sim {

class LaneMirror;

class PortMirror {
 public:
  PortMirror(LaneMirror& lane, std::uint32_t index, VirtualTime& time, Dice& dice);

  // As LanePort's. `deaths`: of engines that had the request, for the oracle.
  void submit(Ticket& ticket, unsigned deaths);
  void cancel(Ticket& ticket, bool client_left = false);
  void complete(const Ticket& ticket, Outcome outcome, Duration pause);

  // All that comes to its thread comes this way, from the lane and from the control thread: an
  // io_context has one queue.
  Channel& to_thread() { return to_thread_; }

 private:
  friend class LaneMirror;
  enum class Kind : std::uint8_t { kSubmit, kCancel, kComplete };
  struct Message {
    Kind kind = Kind::kSubmit;
    Ticket* ticket = nullptr;
    unsigned deaths = 0;
    Outcome outcome = Outcome::kUnknown;
    std::uint32_t prompts = 0;
    Grant grant{};
    const Ticket* completed = nullptr;  // for the oracle only
    Duration pause{};
  };

  void send(Message message);

  LaneMirror& lane_;
  const std::uint32_t index_;
  Channel to_lane_;
  Channel to_thread_;
  std::vector<Message> outgoing_;
};

class LaneMirror {
 public:
  LaneMirror(VirtualTime& time, Dice& dice, const SchedulerOptions& options);

  PortMirror& add_port();

  // As Lane's.
  void set_backend(BackendId id, const BackendTraits& traits, bool is_new);
  void set_up(BackendId id, bool up);
  void set_routes(Routes routes);
  void set_options(const SchedulerOptions& options);
  void observe(BackendId id, const std::optional<EngineSample>& sample);
  void drain();

  std::uint32_t inflight(BackendId id) const {
    return id < scheduler_.backend_count() ? scheduler_.inflight(id) : 0;
  }
  const LaneOracle& oracle() const { return oracle_; }

 private:
  friend class PortMirror;

  void handle(const PortMirror::Message& message);
  void decide();
  void tell_stalls();
  void arm_timer();
  void on_timer();

  VirtualTime& time_;
  Dice& dice_;
  Scheduler scheduler_;
  LaneOracle oracle_;
  Routes routes_;
  Channel from_control_;
  TimePoint armed_ = TimePoint::max();
  std::vector<std::unique_ptr<PortMirror>> ports_;
  std::vector<Ticket*> decided_;
  std::vector<std::vector<Ticket*>> by_port_;
  TimePoint last_wake_{};
  int idle_wakes_ = 0;  // of the timer, in which nothing was decided, at last_wake_
};

}  // namespace batchproxy::fault_sim
