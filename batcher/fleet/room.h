// batcher/fleet/room.h - Room: how many prompts a backend should have in flight, learnt from its
// own metrics, and from its refusals.
//
// An engine that batches continuously leaves a request waiting only when it can take no more, so
// its count of waiting requests is the signal: none waiting while we hold work back means more
// room, many waiting means we would better hold them here, where another backend may still take
// them. Latency says nothing: it rises with useful concurrency. Rules and constants come from
// simulation (docs/SCHEDULING.md).
//
// One that says that it is full, and one whose answers come too late for their requests, has been
// sent too many. That bounds the room to what it took, or to what it answers in half of the time
// that they had; the bound grows again slowly, as whatever set it may have gone.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/time.h"

namespace batchproxy {

// What one look at an engine's /metrics says.
struct EngineSample {
  double running = 0;             // requests
  double waiting = 0;             // requests
  std::uint64_t preemptions = 0;  // ever
  // Engine iterations, ever; nothing where it does not count them.
  std::optional<std::uint64_t> steps{};
};

class Room {
 public:
  // Starts at max_num_seqs, and may grow to twice that.
  Room(std::uint32_t max_num_seqs, std::uint32_t batch_size);

  // Prompts that may be in flight.
  std::uint32_t prompts() const { return static_cast<std::uint32_t>(target_); }

  // More than so many it refuses, or answers too late; twice max_num_seqs while nothing is known.
  std::uint32_t bound() const { return static_cast<std::uint32_t>(bound_); }

  // How many prompts it answers within `time`, as far as is known; endless while nothing is.
  double answers_in(Duration time) const;

  // Most calls of the backend are on its HTTP front end, not in its engine.
  bool front_end_bound() const { return front_end_bound_; }

  // A prompt has been answered, or has failed.
  void on_completed(std::uint32_t prompts) { completed_ += prompts; }

  // It said that it takes no more while `inflight` other prompts were in flight.
  void on_full(std::uint32_t inflight, TimePoint now);

  // A request of so many prompts was answered with success. True when answers_in() has changed.
  bool on_answered(std::uint32_t prompts, TimePoint now);
  // Nobody waits any more for a request that it had for so long. One may be too long itself; when
  // requests wait inside the engine, or, if it does not tell, when most end so, it has too many.
  void on_expired(Duration had, TimePoint now);

  // Something waits here because the room is used up.
  void on_held_back() { held_back_ = true; }

  // One look at the metrics, `inflight` prompts being in flight; nothing when they are unreadable.
  void observe(const std::optional<EngineSample>& sample, std::uint32_t inflight, TimePoint now);

 private:
  void adapt(const EngineSample& sample, TimePoint now);
  void watch_front_end(const EngineSample& sample, double inflight, TimePoint now);
  void bound_to(double most, TimePoint frozen);
  void raise_bound(TimePoint now);
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
  double bound_;
  TimePoint bound_frozen_until_ = TimePoint::min();
  TimePoint bound_raised_{};
  unsigned answered_ = 0;  // these two fade
  unsigned expired_ = 0;
  double rate_ = 0;             // prompts answered a second, the best of late
  TimePoint rate_since_{};      // of the second that is counted
  unsigned rate_answered_ = 0;  // in it
  int unreadable_ = 0;          // looks in a row
  TimePoint frozen_until_ = TimePoint::min();
  bool front_end_bound_ = false;
  int front_end_busy_ = 0;  // looks in a row
  TimePoint front_end_until_ = TimePoint::min();
};

}  // namespace batchproxy
