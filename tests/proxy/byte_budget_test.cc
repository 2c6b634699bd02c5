// tests/proxy/byte_budget_test.cc - the memory of request bodies: grains, and the three marks.
#include "proxy/limits/byte_budget.h"

#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

constexpr std::uint64_t kLimit = 1 << 20;

TEST(ByteBudget, StopsReadingAtEightyPercentAndGoesOnBelowForty) {
  ByteBudget budget(kLimit, 1);
  ByteShare share(budget);
  share.take(kLimit * 78 / 100);
  EXPECT_TRUE(share.may_read());
  share.take(kLimit * 4 / 100);
  EXPECT_FALSE(share.may_read());
  EXPECT_TRUE(share.may_admit());
  share.give(kLimit * 40 / 100);
  EXPECT_FALSE(share.may_read()) << "42 % is not below 40 %";
  share.give(kLimit * 10 / 100);
  EXPECT_TRUE(share.may_read());
}

TEST(ByteBudget, RefusesNewBodiesFromNinetyFivePercent) {
  ByteBudget budget(kLimit, 1);
  ByteShare share(budget);
  share.take(kLimit * 94 / 100 - budget.grain());
  EXPECT_TRUE(share.may_admit());
  share.take(kLimit * 3 / 100);
  EXPECT_FALSE(share.may_admit());
}

TEST(ByteBudget, SeesWhatOtherThreadsHold) {
  ByteBudget budget(kLimit, 2);
  ByteShare one(budget), other(budget);
  one.take(kLimit);
  EXPECT_FALSE(other.may_read());
  EXPECT_FALSE(other.may_admit());
  one.give(kLimit);
  EXPECT_TRUE(other.may_read());
  EXPECT_TRUE(other.may_admit());
}

TEST(ByteBudget, MovesTheSharedNumberOnceInManyRequests) {
  ByteBudget budget(1 << 30, 4);
  ByteShare share(budget);
  share.take(6000);
  const std::uint64_t first = budget.used();
  for (int i = 0; i < 1000; ++i) {
    share.give(6000);
    share.take(6000);
    ASSERT_EQ(budget.used(), first);
  }
}

TEST(ByteBudget, IsNeverOffByMoreThanTwoGrainsAThread) {
  ByteBudget budget(kLimit, 1);
  ByteShare share(budget);
  std::mt19937 random(1);
  std::vector<std::uint64_t> held;
  std::uint64_t sum = 0;
  for (int i = 0; i < 100000; ++i) {
    if (held.size() < 50 && (held.empty() || random() % 2 == 0)) {
      held.push_back(random() % (random() % 2 == 0 ? 200000 : 500));
      share.take(held.back());
      sum += held.back();
    } else {
      const std::size_t which = random() % held.size();
      share.give(held[which]);
      sum -= held[which];
      held[which] = held.back();
      held.pop_back();
    }
    ASSERT_EQ(share.held(), sum);
    ASSERT_GE(budget.used(), sum);
    ASSERT_LT(budget.used(), sum + 2 * budget.grain());
  }
}

TEST(ByteBudget, AddsUpOverThreads) {
  ByteBudget budget(kLimit, 4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&budget] {
      ByteShare share(budget);
      for (int k = 0; k < 20000; ++k) {
        share.take(100000);
        share.give(100000);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(budget.used(), 4 * 2 * budget.grain());
}

}  // namespace
}  // namespace batchproxy
