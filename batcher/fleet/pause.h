// batcher/fleet/pause.h - Pause: how long a backend is left alone, because it has asked for it or
// because it refuses requests as too many.
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>

#include "batcher/base/time.h"

namespace batchproxy {

class Pause {
 public:
  // Longest that a backend is left alone because it has asked for it.
  static constexpr Duration kLongest = std::chrono::seconds(30);
  // After the first refusal as too many; doubles with each further one.
  static constexpr Duration kAfterFull = std::chrono::milliseconds(50);
  static constexpr unsigned kDoublings = 5;

  TimePoint until() const { return until_; }

  // It is to be left alone for `time`.
  void begin(Duration time, TimePoint now) {
    until_ = std::max(until_, now + std::min(time, kLongest));
  }
  // The server that asked for it has gone.
  void end() { until_ = TimePoint::min(); }

  // It refused a request as too many; it took one.
  void on_refusal() { ++refusals_; }
  void on_taken() { refusals_ = 0; }
  // How long it shall rest after the refusals so far.
  Duration after_refusals() const { return kAfterFull * (1u << std::min(refusals_, kDoublings)); }

 private:
  TimePoint until_ = TimePoint::min();
  unsigned refusals_ = 0;  // in a row
};

}  // namespace batchproxy
