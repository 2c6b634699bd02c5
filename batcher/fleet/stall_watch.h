// batcher/fleet/stall_watch.h - StallWatch: looks now and then whether the backends get on with
// what they have (progress.h), and keeps what it saw until it is told.
//
// A backend that stands still has its breaker opened; when it moves again, a probe may go at once.
// Functions that return a bool say whether they have touched a breaker so.
//
// Threading: confined to the lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/fleet/backend.h"

namespace batchproxy {

// A backend stands still with requests in hand, or, told once it does, moves again.
struct Stall {
  BackendId backend = 0;
  bool stuck = false;
  bool again = false;          // it was stuck already, and so was the request that tried it
  std::uint32_t inflight = 0;  // prompts that wait for it
  Duration quiet{};            // no byte of an answer for so long
};

class StallWatch {
 public:
  static constexpr Duration kLook = std::chrono::milliseconds(250);  // between two looks

  // `options` must outlive it; they may change in between.
  explicit StallWatch(const SchedulerOptions& options) : options_(options) {}

  // Prompts are about to be counted as the backend's; they no longer are.
  void on_granted(Backend& backend, std::uint32_t prompts, TimePoint now);
  void on_returned(std::uint32_t prompts) { flying_ -= prompts; }

  // One look at a backend's metrics. `all`: the answer times of all backends.
  bool on_sample(BackendId id, Backend& backend, const std::optional<EngineSample>& sample,
                 const AnswerTimes& all, TimePoint now);
  // Bytes of an answer have come.
  bool on_bytes(BackendId id, Backend& backend, TimePoint now);
  // Its server is there again.
  bool on_up(BackendId id, Backend& backend, TimePoint now);
  // A client has left that it had not sent a byte to, though it had the time.
  void on_departure(Backend& backend, TimePoint now);

  // Looks at all backends.
  bool look(std::span<Backend> backends, const AnswerTimes& all, TimePoint now);
  // When it looks next; bytes must have been told by then.
  TimePoint due() const { return due_; }
  bool is_idle() const { return flying_ == 0 || due_ == TimePoint::max(); }

  // What has stopped or moved again since the last call.
  bool has_stalls() const { return !stalls_.empty(); }
  std::vector<Stall> take_stalls() { return std::exchange(stalls_, {}); }

 private:
  TimePoint stuck_at(const Backend& backend, const AnswerTimes& all) const;
  bool set_moving(BackendId id, Backend& backend, TimePoint now);

  const SchedulerOptions& options_;
  TimePoint due_ = TimePoint::max();
  std::size_t flying_ = 0;  // prompts, on all backends
  std::vector<Stall> stalls_;
};

}  // namespace batchproxy
