// tests/batcher/fleet/slow_start_test.cc - how fast a backend's share grows after an outage.
#include "batcher/fleet/slow_start.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint() + 1h;

class SlowStartOfOneBatch : public testing::Test {
 protected:
  std::optional<TimePoint> advance(Duration after) {
    return start_.advance(/*batch_size=*/4, /*enough=*/16, kStart + after);
  }
  SlowStart start_;
};

TEST_F(SlowStartOfOneBatch, LimitsNothingUntilItIsPrepared) {
  EXPECT_EQ(advance(0s), std::nullopt);
  EXPECT_EQ(start_.most(), SlowStart::kUnlimited);
}

TEST_F(SlowStartOfOneBatch, DoublesEachSecondUntilThatIsEnough) {
  start_.prepare();
  EXPECT_EQ(advance(0s), kStart + 1s);
  EXPECT_EQ(start_.most(), 4u);
  EXPECT_EQ(advance(999ms), kStart + 1s);
  EXPECT_EQ(start_.most(), 4u);
  EXPECT_EQ(advance(1s), kStart + 2s);
  EXPECT_EQ(start_.most(), 8u);
  EXPECT_EQ(advance(2s), std::nullopt);
  EXPECT_EQ(start_.most(), SlowStart::kUnlimited);
}

TEST_F(SlowStartOfOneBatch, BeginsAnewWithEachOutage) {
  start_.prepare();
  advance(0s);
  start_.prepare();
  EXPECT_EQ(advance(1500ms), kStart + 2500ms);
  EXPECT_EQ(start_.most(), 4u);
}

TEST_F(SlowStartOfOneBatch, FollowsABreakerThatHasClosedAgain) {
  start_.on_breaker(/*closed=*/true);
  EXPECT_EQ(advance(0s), std::nullopt) << "it was closed all the time";
  start_.on_breaker(/*closed=*/false);
  EXPECT_TRUE(start_.was_tripped());
  EXPECT_EQ(advance(1s), std::nullopt) << "it is open still";
  start_.on_breaker(/*closed=*/true);
  EXPECT_FALSE(start_.was_tripped());
  EXPECT_EQ(advance(2s), kStart + 3s);
}

TEST_F(SlowStartOfOneBatch, NeverOverflowsHoweverLongItWasNotLookedAt) {
  start_.prepare();
  start_.advance(/*batch_size=*/4, /*enough=*/~0u, kStart);
  EXPECT_EQ(start_.advance(4, ~0u, kStart + 24h), std::nullopt);
}

}  // namespace
}  // namespace batchproxy
