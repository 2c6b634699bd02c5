// tests/fault_sim/sim_thread.h - what a job finds on its thread: IoThread
// (proxy/thread/io_thread.h), as far as it matters in virtual time.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "backends/model_table.h"
#include "proxy/metrics/metrics.h"
#include "proxy/thread/in_flight.h"
#include "proxy/thread/poison_list.h"
#include "tests/fault_sim/fake_server.h"
#include "tests/fault_sim/sim_lane.h"

namespace batchproxy::fault_sim {

class SimMerged;

struct SimThread {
  SimThread(VirtualTime& its_time, Dice& its_dice, SimLaneHandle& handle)
      : time(its_time),
        dice(its_dice),
        lane(handle),
        to_control(its_time, its_dice),
        to_others(its_time, its_dice) {}

  TimePoint attempt_deadline(TimePoint deadline) const {
    if (attempt_timeout == Duration::zero()) return deadline;
    return std::min(deadline, time.now() + attempt_timeout);
  }

  VirtualTime& time;
  Dice& dice;
  SimLaneHandle& lane;
  Channel to_control;
  Channel to_others;  // threads, whose legs its merged calls have members of
  ThreadMetrics metrics{};
  ModelTablePtr models = std::make_shared<ModelTable>();
  std::map<BackendId, FakeServer*> upstreams{};
  BackendSet ready{};
  InFlightList in_flight{};
  std::vector<std::shared_ptr<SimMerged>> merged{};  // calls, ended ones too
  Duration attempt_timeout{};
  bool holds_for_room = true;
  bool shutting_down = false;
  std::uint64_t beside = 0;  // calls that were asked beside others
  PoisonList* poison = nullptr;
  std::function<void(BackendId, bool)> report_failure{};
  std::function<void(BackendId, std::function<void(bool is_ready)>)> look_at{};
};

}  // namespace batchproxy::fault_sim
