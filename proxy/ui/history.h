// proxy/ui/history.h - History: what the curves of the page show, for whoever opens it: the last
// three minutes, a point each second.
//
// Sans-io: it is given snapshots. Memory: 180 points of a few numbers and, for each backend, one.
//
// Threading: confined to the control thread.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {

class History {
 public:
  static constexpr std::size_t kPoints = 180;

  // Once a second.
  void add(const Snapshot& now);

  // {"rate":[…],"queue":[…],"p95":[…],"fill":[…],"cache":[…],"errors":[…],
  //  "engines":{"engine-0":[…]}}, the oldest first. null: nothing was known then.
  std::string to_json() const;

 private:
  struct Point {
    double rate = 0;    // answers a second
    double queue = 0;   // requests that wait
    double p95 = 0;     // seconds
    double fill = 0;    // share of the ready backends' room
    double cache = -1;  // share of the prompts' tokens that was cached; negative: unknown
    double errors = 0;  // a second
    std::vector<std::pair<std::string, double>> engines;  // name, answers a second
  };

  std::deque<Point> points_;
};

// In flight, as a share of the room of those that are ready. Above 1 when they have more than they
// should.
double fill_of(const Snapshot& now);

}  // namespace batchproxy
