// batcher/room.h - Room: how many prompts a backend should have in flight, learnt from its own
// metrics, and from its refusals.
//
// An engine that batches continuously leaves a request waiting only when it can take no more, so
// its count of waiting requests is the signal: none waiting while we hold work back means more
// room, many waiting means we would better hold them here, where another backend may still take
// them. Latency says nothing: it rises with useful concurrency. Rules and constants come from
// simulation (docs/SCHEDULING.md).
//
// One that says that it is full, and one whose answers come too late for their requests, has been
// sent too many: the room shrinks to what it took, and grows again slowly, as a bound that was set
// on it may be lifted.
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
  // Engine iterations, ever; nothing where it does not count them.
  std::optional<std::uint64_t> steps{};
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

  // It said that it takes no more while `inflight` other prompts were in flight.
  void on_full(std::uint32_t inflight, TimePoint now);

  // A request was answered with success.
  void on_answered();
  // A request's own deadline came before its answer, `inflight` others being in flight. One that
  // comes so may be too long itself; when most do, the engine has too many. `usual`: what its
  // answers take, and so how long it takes to see what a smaller room does.
  void on_expired(std::uint32_t inflight, Duration usual, TimePoint now);

  // Something waits here because the room is used up.
  void on_held_back() { held_back_ = true; }

  // One look at the metrics, `inflight` prompts being in flight; nothing when they are unreadable.
  void observe(const std::optional<EngineSample>& sample, std::uint32_t inflight, TimePoint now);

 private:
  void adapt(const EngineSample& sample, TimePoint now);
  void watch_front_end(const EngineSample& sample, double inflight, TimePoint now);
  void limit_to(double most, TimePoint now);
  void raise_ceiling(TimePoint now);
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
  unsigned answered_ = 0;  // these two fade
  unsigned expired_ = 0;
  int unreadable_ = 0;  // looks in a row
  TimePoint frozen_until_ = TimePoint::min();
  TimePoint raised_{};  // when the ceiling was, or was set
  bool front_end_bound_ = false;
  int front_end_busy_ = 0;  // looks in a row
  TimePoint front_end_until_ = TimePoint::min();
};

}  // namespace batchproxy
