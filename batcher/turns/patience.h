// batcher/turns/patience.h - Patience: the time-out that a client has but does not tell, learnt
// from when it leaves.
//
// Clients of `requests` and the like give up after a fixed time and say nothing of it. When a
// client's last few departures came after nearly the same wait, that wait is taken for its
// time-out. Departures of one moment after different waits, as when a job is stopped, teach
// nothing: the waits must agree better than the moments do. An answer that the client still took
// after a longer wait disproves it.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

class Patience {
 public:
  static constexpr std::size_t kDepartures = 8;                 // that must agree
  static constexpr Duration kLasts = std::chrono::seconds(60);  // after the last of them

  // It left after `wait` without an answer.
  void on_left(Duration wait, TimePoint now);
  // It took an answer after `wait`.
  void on_answered(Duration wait);

  // How long it waits, if that is known.
  std::optional<Duration> learnt(TimePoint now) const;
  bool remembers(TimePoint now) const { return count_ > 0 && now < last_ + kLasts; }

 private:
  std::array<Duration, kDepartures> waits_{};
  std::array<TimePoint, kDepartures> moments_{};
  std::size_t count_ = 0;  // departures, ever
  TimePoint last_{};
  std::optional<Duration> learnt_;
};

}  // namespace batchproxy
