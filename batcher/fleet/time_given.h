// batcher/fleet/time_given.h - TimeGiven: the shortest time that clients have given of late, from a
// request's arrival to its deadline or to its client's leaving.
//
// A request that is overdue goes beyond a backend's room, but not where it would wait for longer
// than half of that.
//
// Threading: confined to the lane.
#pragma once

#include "batcher/base/time.h"

namespace batchproxy {

class TimeGiven {
 public:
  static constexpr Duration kLasts = std::chrono::seconds(10);  // then a longer one may replace it

  Duration shortest() const { return shortest_; }

  // A client has given `time`. True when that changes shortest().
  bool note(Duration time, TimePoint now) {
    const bool longer = time - time / 8 > shortest_;
    if (longer && now < until_) return false;
    until_ = now + kLasts;
    if (!longer && time >= shortest_) return false;  // as good as the same
    shortest_ = time;
    return true;
  }

 private:
  Duration shortest_ = Duration::max();
  TimePoint until_{};
};

}  // namespace batchproxy
