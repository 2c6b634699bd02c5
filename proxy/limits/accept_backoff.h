// proxy/limits/accept_backoff.h - AcceptBackoff: how long to wait before accept() is tried again
// after a failure, and when to log it. Without a pause a process without descriptors would spin:
// the client that it cannot take stays ready to be accepted.
//
// Threading: a value, confined to its owner's thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "batcher/base/time.h"

namespace batchproxy {

class AcceptBackoff {
 public:
  static constexpr Duration kFirstPause = std::chrono::milliseconds(100);
  static constexpr Duration kLongestPause = std::chrono::seconds(1);
  static constexpr Duration kLogInterval = std::chrono::seconds(10);

  // Accepting has failed again: rest for so long.
  Duration pause() { return std::exchange(pause_, std::min(2 * pause_, kLongestPause)); }
  // Accepting has worked.
  void over() { pause_ = kFirstPause; }

  // Whether a line about it is due.
  bool may_log(TimePoint now) {
    if (logged_ && now - *logged_ < kLogInterval) return false;
    logged_ = now;
    return true;
  }

 private:
  Duration pause_ = kFirstPause;
  std::optional<TimePoint> logged_;
};

}  // namespace batchproxy
