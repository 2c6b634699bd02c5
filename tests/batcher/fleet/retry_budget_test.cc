// tests/batcher/fleet/retry_budget_test.cc - how many second tries are allowed.
#include "batcher/fleet/retry_budget.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since_start) {
  return TimePoint() + 1h + since_start;
}

constexpr int kFree = 100;  // in ten seconds

void succeed(RetryBudget& budget, Duration now, int times) {
  for (int i = 0; i < times; ++i) budget.on_success(at(now));
}

int spend_all(RetryBudget& budget, Duration now) {
  int spent = 0;
  while (spent < 100000 && budget.spend(at(now))) ++spent;
  return spent;
}

TEST(RetryBudget, AllowsTenPerSecondWithoutAnySuccess) {
  RetryBudget budget;
  EXPECT_EQ(spend_all(budget, 0s), kFree);
  EXPECT_EQ(spend_all(budget, 9s), 0);
}

TEST(RetryBudget, AllowsOneForEveryFiveSuccessesBesides) {
  RetryBudget budget;
  succeed(budget, 0s, 54);
  EXPECT_EQ(spend_all(budget, 0s), kFree + 10);
  succeed(budget, 1s, 1);
  EXPECT_EQ(spend_all(budget, 1s), 1);
}

TEST(RetryBudget, ForgetsEachSecondAfterTen) {
  RetryBudget budget;
  succeed(budget, 0s, 500);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(budget.spend(at(1s)));
  succeed(budget, 2s, 50);
  EXPECT_EQ(spend_all(budget, 9999ms), kFree + 110 - 30);
  // The 500 successes have gone, the retries of second 1 not yet.
  EXPECT_EQ(spend_all(budget, 10s), 0);
  // Those have gone now; the 180 of second 9 stay until second 19.
  EXPECT_EQ(spend_all(budget, 11s), 0);
  EXPECT_EQ(spend_all(budget, 18999ms), 0);
  EXPECT_EQ(spend_all(budget, 19s), kFree);
}

TEST(RetryBudget, SpreadsTheFreeOnesOverTheWindowInWhichTheyAreSpent) {
  RetryBudget budget;
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(budget.spend(at(std::chrono::seconds(second)))) << second;
    }
  }
  EXPECT_EQ(spend_all(budget, 59s), 0);
}

TEST(RetryBudget, StartsAnewAfterAnIdleGap) {
  for (const Duration gap : {10s, 20s, 25s, 3600s}) {
    RetryBudget budget;
    succeed(budget, 0s, 1000);
    EXPECT_EQ(spend_all(budget, 0s), kFree + 200);
    EXPECT_EQ(spend_all(budget, gap), kFree);
  }
}

TEST(RetryBudget, CountsNothingThatWasRefused) {
  RetryBudget budget;
  spend_all(budget, 0s);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(budget.spend(at(1s)));
  EXPECT_EQ(spend_all(budget, 10s), kFree);
}

}  // namespace
}  // namespace batchproxy
