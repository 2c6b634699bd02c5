// batcher/room.h - Room: how many prompts a backend should have in flight, learnt from its own
// metrics.
//
// An engine that batches continuously leaves a request waiting only when it can take no more, so
// its count of waiting requests is the signal: none waiting while we hold work back means more
// room, many waiting means we would better hold them here, where another backend may still take
// them. Latency says nothing: it rises with useful concurrency. Rules and constants come from
// simulation (docs/SCHEDULING.md).
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/ticket.h"

namespace batchproxy {

// What one look at an engine's /metrics says.
struct EngineSample {
  double running = 0;             // requests
  double waiting = 0;             // requests
  std::uint64_t preemptions = 0;  // ever
  std::uint64_t steps = 0;        // engine iterations, ever
};

class Room {
 public:
  // Starts at max_num_seqs, and may grow to twice that.
  Room(std::uint32_t max_num_seqs, std::uint32_t batch_size);

  // Prompts that may be in flight.
  std::uint32_t prompts() const { return static_cast<std::uint32_t>(target_); }

  // Most calls of the backend are on its HTTP front end, not in its engine.
  bool front_end_bound() const { return front_end_bound_; }

  // A prompt has been answered, or has failed.
  void on_completed(std::uint32_t prompts) { completed_ += prompts; }

  // Something waits here because the room is used up.
  void on_held_back() { held_back_ = true; }

  // One look at the metrics, `inflight` prompts being in flight; nothing when they are unreadable.
  void observe(const std::optional<EngineSample>& sample, std::uint32_t inflight, TimePoint now);

 private:
  void adapt(const EngineSample& sample, TimePoint now);
  void watch_front_end(const EngineSample& sample, double inflight, TimePoint now);
  void reset();

  double initial_;
  double limit_;
  double base_slack_;
  double target_;
  double ceiling_;
  double running_ = 0;               // smoothed
  double completions_per_step_ = 0;  // smoothed
  std::uint64_t completed_ = 0;      // since the last look
  std::optional<EngineSample> last_;
  bool held_back_ = false;
  int unreadable_ = 0;  // looks in a row
  TimePoint frozen_until_ = TimePoint::min();
  bool front_end_bound_ = false;
  int front_end_busy_ = 0;  // looks in a row
  TimePoint front_end_until_ = TimePoint::min();
};

}  // namespace batchproxy
