// proxy/limits/body_pace.h - BodyPace: how long a client may take to send a body.
//
// There is no fixed time for a whole body: a large one on a slow line is welcome. A body that
// stands still or drips is not, since it holds memory and a descriptor meanwhile.
//
// Threading: a value, confined to its owner's thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "batcher/base/time.h"

namespace batchproxy {

struct PaceLimits {
  Duration stall = std::chrono::seconds(30);  // without a byte
  Duration grace = std::chrono::seconds(10);  // before the average counts
  std::uint64_t rate = 1024;                  // bytes per second, on average
};

class BodyPace {
 public:
  BodyPace(const PaceLimits& limits, TimePoint start)
      : limits_(limits), start_(start), last_(start) {}

  // `received` bytes are there `now`: when it will be too late for the next one.
  TimePoint deadline(std::uint64_t received, TimePoint now) {
    if (received > received_) last_ = now;
    received_ = received;
    return std::min(end_of_stall(), end_of_average());
  }
  // Whether that deadline is one for the next byte, and not for the average.
  bool stands_still() const { return end_of_stall() <= end_of_average(); }

  // We paused reading for so long; that time does not count against the client.
  void excuse(Duration pause) {
    start_ += pause;
    last_ += pause;
  }

 private:
  TimePoint end_of_stall() const { return last_ + limits_.stall; }
  TimePoint end_of_average() const {
    const auto whole = std::chrono::seconds(static_cast<std::int64_t>(received_ / limits_.rate));
    return start_ + std::max<Duration>(limits_.grace, Duration(whole));
  }

  PaceLimits limits_;
  TimePoint start_, last_;
  std::uint64_t received_ = 0;
};

}  // namespace batchproxy
