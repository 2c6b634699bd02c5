// batcher/fleet/retry_budget.h - RetryBudget: how many second tries the backends can be asked for.
//
// When most of what a backend does fails, sending it all again doubles the load and helps nobody.
// So retries of requests that were answered with an error, or not in time, may make up a fifth of
// the successes of the last ten seconds, and ten per second besides.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstdint>

#include "batcher/base/time.h"

namespace batchproxy {

class RetryBudget {
 public:
  static constexpr std::uint64_t kSuccessesPerRetry = 5;
  static constexpr std::uint64_t kFreePerSecond = 10;
  static constexpr std::size_t kSeconds = 10;

  void on_success(TimePoint now);
  // Takes one retry out of the budget; false when there is none left.
  bool spend(TimePoint now);

 private:
  struct Second {
    std::int64_t which = -1;
    std::uint64_t successes = 0;
    std::uint64_t retries = 0;
  };
  Second& second(TimePoint now);

  std::array<Second, kSeconds> seconds_{};
};

}  // namespace batchproxy
