// tests/proxy/body_pace_test.cc - when a body that comes slowly is given up, in virtual time.
#include "proxy/limits/body_pace.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kStart = TimePoint() + 1h;

TEST(BodyPace, GivesASilentClientUntilTheGraceEnds) {
  BodyPace pace({}, kStart);
  EXPECT_EQ(pace.deadline(0, kStart), kStart + 10s);
}

TEST(BodyPace, GivesUpAfterAStallHoweverMuchCameBefore) {
  BodyPace pace({}, kStart);
  EXPECT_EQ(pace.deadline(1 << 20, kStart + 1s), kStart + 31s);
  EXPECT_EQ(pace.deadline(1 << 20, kStart + 20s), kStart + 31s) << "nothing new has come";
  EXPECT_EQ(pace.deadline((1 << 20) + 1, kStart + 20s), kStart + 50s);
  EXPECT_TRUE(pace.stands_still());
}

TEST(BodyPace, HoldsAnAverageOnceTheGraceIsOver) {
  BodyPace pace({}, kStart);
  EXPECT_EQ(pace.deadline(10 * 1024, kStart + 5s), kStart + 10s);
  EXPECT_EQ(pace.deadline(15 * 1024, kStart + 9s), kStart + 15s);
  EXPECT_EQ(pace.deadline(16 * 1024, kStart + 14s), kStart + 16s);
  EXPECT_FALSE(pace.stands_still());
}

// A client that sends `step` bytes each `every`: how much of its body gets through.
std::uint64_t received_of(std::uint64_t step, Duration every) {
  BodyPace pace({}, kStart);
  std::uint64_t received = 0;
  TimePoint now = kStart;
  for (int i = 0; i < 10000 && pace.deadline(received, now) >= now + every; ++i) {
    now += every;
    received += step;
  }
  return received;
}

TEST(BodyPace, LetsASteadyClientFinishAndADrippingOneNot) {
  EXPECT_EQ(received_of(1200, 1s), 10000u * 1200) << "a little more than the least";
  EXPECT_EQ(received_of(29 * 1024, 29s), 0u) << "its first bytes come after the grace";
  EXPECT_EQ(received_of(9 * 1024, 9s), 9u * 1024);
  EXPECT_EQ(received_of(1000, 1s), 10'000u);
  EXPECT_EQ(received_of(1, 1ms), 10'000u * 1) << "1000 bytes a second for ten seconds";
  EXPECT_EQ(received_of(1, 1s), 10u);
}

TEST(BodyPace, DoesNotCountPausesOfOurOwn) {
  BodyPace pace({}, kStart);
  EXPECT_EQ(pace.deadline(1 << 20, kStart + 1s), kStart + 31s);
  pace.excuse(100s);
  EXPECT_EQ(pace.deadline(1 << 20, kStart + 102s), kStart + 131s);
}

}  // namespace
}  // namespace batchproxy
