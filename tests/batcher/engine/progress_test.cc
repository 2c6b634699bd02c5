// tests/batcher/engine/progress_test.cc - when a backend that has requests in hand counts as stuck.
#include "batcher/engine/progress.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since_start) {
  return TimePoint() + 1h + since_start;
}

class ProgressTest : public testing::Test {
 protected:
  bool count(std::uint64_t steps, Duration now, double running = 1) {
    return progress_.on_look(EngineSample{.running = running, .steps = steps}, at(now));
  }
  void look_without_count(Duration now) { progress_.on_look(EngineSample{.running = 1}, at(now)); }
  TimePoint stuck_at(Duration usual = 0s, bool tried = false) const {
    return progress_.stuck_at({.stuck_timeout = 10s, .usual = usual, .tried = tried});
  }

  Progress progress_;
};

TEST_F(ProgressTest, IsNeverMissedWhereNothingIsToBeWatched) {
  progress_.on_granted(true, at(0s));
  EXPECT_EQ(progress_.stuck_at({.stuck_timeout = 0s, .usual = 1s}), TimePoint::max());
}

TEST_F(ProgressTest, IsMissedAfterStuckTimeoutWhenTheCountStands) {
  progress_.on_granted(true, at(0s));
  count(7, 1s);
  for (int i = 2; i <= 8; ++i) EXPECT_FALSE(count(7, i * 1s));
  EXPECT_EQ(stuck_at(), at(11s));
  EXPECT_EQ(stuck_at(/*usual=*/10min), at(11s)) << "whatever its answers take";
}

TEST_F(ProgressTest, IsSeenInTheCountHoweverLongAnAnswerTakes) {
  progress_.on_granted(true, at(0s));
  count(0, 0s);
  for (int i = 1; i < 10000; ++i) {
    EXPECT_TRUE(count(static_cast<std::uint64_t>(i), i * 1s));
    EXPECT_EQ(stuck_at(/*usual=*/1s), at(i * 1s + 10s));
  }
}

TEST_F(ProgressTest, IsSeenInACountThatStartsAgainFromNought) {
  count(1000, 1s);
  EXPECT_TRUE(count(3, 5s));
}

TEST_F(ProgressTest, IsNotExpectedOfAnEngineThatHadNothingToDo) {
  count(7, 0s, /*running=*/0);
  count(7, 100s, /*running=*/0);
  progress_.on_granted(true, at(100s));
  count(7, 101s);
  EXPECT_EQ(stuck_at(), at(110s));
}

TEST_F(ProgressTest, IsSeenInBytesWhileTheCountStands) {
  progress_.on_granted(true, at(0s));
  count(7, 0s);
  progress_.on_bytes(at(8s));
  EXPECT_EQ(stuck_at(), at(18s));
}

TEST_F(ProgressTest, IsMissedAfterStuckTimeoutWhenTheMetricsHaveFallenSilent) {
  progress_.on_granted(true, at(0s));
  count(7, 3s);
  progress_.on_look(std::nullopt, at(4s));
  EXPECT_EQ(stuck_at(), at(13s)) << "since they were last there";
  progress_.on_bytes(at(6s));
  EXPECT_EQ(stuck_at(), at(16s)) << "without a byte in all that time";
  count(8, 7s);
  EXPECT_EQ(stuck_at(), at(17s));
}

TEST_F(ProgressTest, IsMissedForThreeTimesThatOfOneThatNeverHadMetrics) {
  progress_.on_granted(true, at(0s));
  progress_.on_look(std::nullopt, at(1s));
  EXPECT_EQ(stuck_at(), at(30s));
}

TEST_F(ProgressTest, IsMissedForThreeTimesThatAndEightAnswersOfOneThatTellsNoCount) {
  progress_.on_granted(true, at(0s));
  look_without_count(1s);
  EXPECT_EQ(stuck_at(/*usual=*/3s), at(30s));
  EXPECT_EQ(stuck_at(/*usual=*/10s), at(80s));
}

TEST_F(ProgressTest, IsMissedSoonerWhenThreeClientsInARowGaveUp) {
  progress_.on_granted(true, at(0s));
  progress_.on_departure();
  progress_.on_departure();
  EXPECT_EQ(stuck_at(/*usual=*/2s), at(30s));
  progress_.on_departure();
  EXPECT_EQ(stuck_at(/*usual=*/2s), at(6s));
  EXPECT_EQ(stuck_at(/*usual=*/10ms), at(1s));
  EXPECT_EQ(stuck_at(/*usual=*/0s), at(30s)) << "nobody knows what its answers take";
}

TEST_F(ProgressTest, IsNotMissedForDeparturesWithAByteBetweenThem) {
  progress_.on_granted(true, at(0s));
  for (int i = 0; i < 10; ++i) {
    progress_.on_departure();
    progress_.on_departure();
    progress_.on_bytes(at(i * 1s));
  }
  EXPECT_EQ(stuck_at(/*usual=*/1s), at(39s));
}

TEST_F(ProgressTest, IsNotMissedForDeparturesWhileTheEngineCounts) {
  progress_.on_granted(true, at(0s));
  count(1, 0s);
  for (int i = 0; i < 10; ++i) progress_.on_departure();
  count(2, 9s);
  EXPECT_EQ(stuck_at(/*usual=*/1s), at(19s));
}

TEST_F(ProgressTest, IsExpectedInTwoAnswersOfOneThatIsTriedAfterItWasStuck) {
  progress_.on_granted(true, at(100s));
  EXPECT_EQ(stuck_at(/*usual=*/3s, /*tried=*/true), at(106s));
  EXPECT_EQ(stuck_at(/*usual=*/10ms, /*tried=*/true), at(101s));
  count(7, 100s);
  EXPECT_EQ(stuck_at(/*usual=*/3s, /*tried=*/true), at(106s));
}

TEST_F(ProgressTest, IsCountedFromTheFirstRequestNotFromEachOfThem) {
  progress_.on_granted(true, at(0s));
  progress_.on_granted(false, at(9s));
  EXPECT_EQ(progress_.quiet_since(), at(0s));
  progress_.on_bytes(at(10s));
  EXPECT_EQ(progress_.quiet_since(), at(10s));
}

}  // namespace
}  // namespace batchproxy
