// batcher/engine/room.h - Room: how many prompts a backend should have in flight, learnt from its
// own metrics, and from its refusals.
//
// An engine that batches continuously leaves a request waiting only when it can take no more, so
// its count of waiting requests is the signal: none waiting while we hold work back means more
// room, many waiting means we would better hold them here, where another backend may still take
// them. Latency says nothing: it rises with useful concurrency. Rules and constants come from
// simulation (docs/SCHEDULING.md).
//
// One that says that it is full, and one whose answers come too late for their requests, has been
// sent too many: that bounds the room (overload_bound.h).
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "batcher/base/time.h"
#include "batcher/engine/engine_sample.h"
#include "batcher/engine/front_end_watch.h"
#include "batcher/engine/overload_bound.h"

namespace batchproxy {

class Room {
 public:
  // Starts at max_num_seqs, and may grow to twice that.
  Room(std::uint32_t max_num_seqs, std::uint32_t batch_size);

  // Prompts that may be in flight.
  std::uint32_t prompts() const { return static_cast<std::uint32_t>(allowed()); }

  // More than so many it refuses, or answers too late; twice max_num_seqs while nothing is known.
  std::uint32_t bound() const { return static_cast<std::uint32_t>(bound_.most()); }

  // How many prompts it answers within `time`, as far as is known; endless while nothing is.
  double answers_in(Duration time) const { return bound_.answers_in(time); }

  // Most calls of the backend are on its HTTP front end, not in its engine.
  bool front_end_bound() const { return front_end_.is_bottleneck(); }

  // A prompt has been answered, or has failed.
  void on_completed(std::uint32_t prompts) { completed_ += prompts; }

  // It said that it takes no more while `inflight` other prompts were in flight.
  void on_full(std::uint32_t inflight, TimePoint now);

  // A request of so many prompts was answered with success. True when answers_in() has changed.
  bool on_answered(std::uint32_t prompts, TimePoint now) {
    return bound_.on_answered(prompts, now);
  }
  // Nobody waits any more for a request that it had for so long.
  void on_expired(Duration had, TimePoint now);

  // Something waits here because the room is used up.
  void on_held_back() { held_back_ = true; }

  // One look at the metrics, `inflight` prompts being in flight; nothing when they are unreadable.
  void observe(const std::optional<EngineSample>& sample, std::uint32_t inflight, TimePoint now);

 private:
  double allowed() const { return std::min(target_, bound_.most()); }
  void adapt(const EngineSample& sample, TimePoint now);
  void reset();

  double initial_;
  double limit_;
  double base_slack_;
  double target_;  // by the metrics alone: what bounds it may go, and then it holds again
  double ceiling_;
  OverloadBound bound_;
  FrontEndWatch front_end_;
  double running_ = 0;               // smoothed
  double completions_per_step_ = 0;  // smoothed
  std::uint64_t completed_ = 0;      // since the last look
  std::optional<EngineSample> last_;
  bool held_back_ = false;
  int unreadable_ = 0;  // looks in a row
  TimePoint frozen_until_ = TimePoint::min();
};

}  // namespace batchproxy
