// tests/batcher/fleet/time_given_test.cc - which of the times that clients give counts.
#include "batcher/fleet/time_given.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint() + 1h;

TEST(TimeGiven, IsTheShortestOfLate) {
  TimeGiven given;
  EXPECT_TRUE(given.note(20s, kStart));
  EXPECT_TRUE(given.note(5s, kStart));
  EXPECT_FALSE(given.note(20s, kStart + 9s));
  EXPECT_EQ(given.shortest(), 5s);
}

TEST(TimeGiven, IsForgottenWhenNobodyIsInAHurryAnyMore) {
  TimeGiven given;
  given.note(5s, kStart);
  EXPECT_TRUE(given.note(20s, kStart + TimeGiven::kLasts));
  EXPECT_EQ(given.shortest(), 20s);
}

TEST(TimeGiven, IsKeptAliveByWhatIsAsGoodAsTheSame) {
  TimeGiven given;
  given.note(8s, kStart);
  EXPECT_FALSE(given.note(9s, kStart + 9s));
  EXPECT_FALSE(given.note(20s, kStart + 18s)) << "9 s were as good as 8";
  EXPECT_EQ(given.shortest(), 8s);
}

}  // namespace
}  // namespace batchproxy
