// batcher/base/scheduler_options.h - SchedulerOptions: the rules that a user sets for the
// scheduler.
//
// Threading: values, any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "batcher/base/flush_policy.h"
#include "batcher/base/time.h"

namespace batchproxy {

// Whether several requests are merged into one call: auto does it while the engine's HTTP front end
// is the bottleneck, for short answers whose usage can be told apart.
enum class MergePolicy { kAuto, kAlways, kOff };

struct SchedulerOptions {
  FlushPolicy policy = FlushPolicy::kEager;
  std::uint32_t batch_size = 16;  // prompts
  Duration batch_timeout = std::chrono::milliseconds(500);
  std::size_t max_queue = 100000;  // prompts
  // How long a ticket waits while none of its backends is up.
  Duration hold_timeout = std::chrono::seconds(110);
  // How long a backend may stand still before its requests are asked elsewhere; zero: for ever.
  Duration stuck_timeout = std::chrono::seconds(10);
  // Share of a backend's room that requests of batches (Ticket::background) fill at most while
  // others ask; see OthersAsking.
  double background_share = 0.18;
  bool affinity = true;
  MergePolicy merge = MergePolicy::kAuto;
};

}  // namespace batchproxy
