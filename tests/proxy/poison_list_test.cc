// tests/proxy/poison_list_test.cc - which requests are remembered as the end of engines, and how
// long.
#include "proxy/thread/poison_list.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kStart = TimePoint() + 1h;

TEST(PoisonList, RemembersForTenMinutes) {
  PoisonList list;
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.contains(7, kStart));
  list.add(7, kStart);
  EXPECT_FALSE(list.empty());
  EXPECT_TRUE(list.contains(7, kStart));
  EXPECT_FALSE(list.contains(8, kStart));
  EXPECT_TRUE(list.contains(7, kStart + 10min - 1ms));
  EXPECT_FALSE(list.contains(7, kStart + 10min));
  EXPECT_TRUE(list.empty());
}

TEST(PoisonList, CountsFromTheLastTime) {
  PoisonList list;
  list.add(7, kStart);
  list.add(8, kStart + 1min);
  list.add(7, kStart + 9min);
  EXPECT_TRUE(list.contains(7, kStart + 18min));
  EXPECT_FALSE(list.contains(8, kStart + 18min));
  EXPECT_FALSE(list.empty());
}

TEST(PoisonList, ForgetsTheOldestWhenItIsFull) {
  PoisonList list;
  for (std::uint64_t key = 0; key <= PoisonList::kMax; ++key) {
    list.add(key, kStart + std::chrono::milliseconds(key));
  }
  EXPECT_FALSE(list.contains(0, kStart + 5s));
  for (std::uint64_t key = 1; key <= PoisonList::kMax; ++key) {
    ASSERT_TRUE(list.contains(key, kStart + 5s)) << key;
  }
}

TEST(PoisonList, ForgetsNobodyForOneThatItKnowsAlready) {
  PoisonList list;
  for (std::uint64_t key = 0; key < PoisonList::kMax; ++key) {
    list.add(key, kStart + std::chrono::milliseconds(key));
  }
  list.add(1, kStart + 5s);
  EXPECT_TRUE(list.contains(0, kStart + 5s));
}

}  // namespace
}  // namespace batchproxy
