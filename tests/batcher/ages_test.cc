// tests/batcher/ages_test.cc - Ages: since when the oldest is there.
#include "batcher/base/ages.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint() + 1h;

TEST(Ages, KnowsTheOldestOfThoseThatAreThere) {
  Ages ages;
  EXPECT_FALSE(ages.oldest());
  ages.add(kStart);
  ages.add(kStart);
  ages.add(kStart + 10s);
  EXPECT_EQ(ages.oldest(), kStart);
  ages.remove(kStart);
  EXPECT_EQ(ages.oldest(), kStart) << "one of the two is left";
  ages.remove(kStart);
  EXPECT_EQ(ages.oldest(), kStart + 10s);
  ages.remove(kStart + 10s);
  EXPECT_FALSE(ages.oldest());
}

TEST(Ages, TakesOneThatIsOlderThanTheRest) {
  Ages ages;
  ages.add(kStart + 10s);
  EXPECT_EQ(ages.oldest(), kStart + 10s);
  ages.add(kStart + 3s);
  EXPECT_EQ(ages.oldest(), kStart + 3s);
}

TEST(Ages, IsExactToASlot) {
  Ages ages;
  ages.add(kStart + 700ms);
  EXPECT_EQ(ages.oldest(), kStart + 500ms);
}

TEST(Ages, TellsNoneTooYoungHoweverOldTheyAre) {
  Ages ages;
  const TimePoint later = kStart + Ages::kSlots * Ages::kSlot;  // shares a slot with kStart
  ages.add(kStart);
  ages.add(later);
  EXPECT_EQ(ages.oldest(), kStart);
  ages.remove(kStart);
  EXPECT_LE(*ages.oldest(), later);
  ages.remove(later);
  EXPECT_FALSE(ages.oldest());
}

TEST(Ages, ForgivesOneThatWasNeverAdded) {
  Ages ages;
  ages.remove(kStart);
  ages.add(kStart);
  ages.remove(kStart + 1s);
  EXPECT_EQ(ages.count(), 1u);
}

}  // namespace
}  // namespace batchproxy
