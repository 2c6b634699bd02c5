// tests/batcher/room_test.cc - what a backend's metrics teach about its room.
#include "batcher/room.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

class RoomTest : public testing::Test {
 protected:
  void look(EngineSample sample, std::uint32_t inflight) {
    now_ += 250ms;
    room_.observe(sample, inflight, now_);
  }

  Room room_{64, 16};
  TimePoint now_ = TimePoint() + 1h;
};

TEST_F(RoomTest, StartsAtMaxNumSeqsAndStaysThereWhileNothingIsHeldBack) {
  EXPECT_EQ(room_.prompts(), 64u);
  for (int i = 0; i < 10; ++i) look({.running = 40, .waiting = 0}, 40);
  EXPECT_EQ(room_.prompts(), 64u);
}

TEST_F(RoomTest, GrowsToTwiceThatWhileTheEngineTakesAllAndWeHoldBack) {
  for (int i = 0; i < 10; ++i) {
    room_.on_held_back();
    look({.running = 64, .waiting = 0}, 64);
  }
  EXPECT_EQ(room_.prompts(), 128u);
}

TEST_F(RoomTest, ShrinksToWhatRunsAndAStandingQueueWhenTheEngineLeavesManyWaiting) {
  for (int i = 0; i < 20; ++i) look({.running = 8, .waiting = 56}, 64);
  EXPECT_NEAR(room_.prompts(), 8 + 32, 2);
}

TEST_F(RoomTest, LeavesALongerQueueToAnEngineThatAdmitsManyAStep) {
  std::uint64_t steps = 1;
  look({.running = 4, .waiting = 0, .steps = steps}, 4);
  for (int i = 0; i < 40; ++i) {
    room_.on_completed(200);
    look({.running = 4, .waiting = 60, .steps = steps += 10}, 64);
  }
  EXPECT_EQ(room_.prompts(), 64u) << "three steps' admissions are sixty";
}

TEST_F(RoomTest, ComesDownToWhatRanWhenTheEngineThrewWorkAwayAndGrowsBackSlowly) {
  look({.running = 30, .waiting = 4, .preemptions = 0}, 60);
  look({.running = 30, .waiting = 4, .preemptions = 2}, 60);
  const auto after = room_.prompts();
  EXPECT_EQ(after, 30u);
  room_.on_held_back();
  look({.running = 30, .waiting = 0, .preemptions = 9}, 30);
  EXPECT_EQ(room_.prompts(), 30u) << "one reaction at a time";
  for (int i = 0; i < 40; ++i) {
    room_.on_held_back();
    look({.running = 30, .waiting = 0, .preemptions = 9}, 30);
  }
  EXPECT_GT(room_.prompts(), 33u);
  EXPECT_LT(room_.prompts(), 64u);
}

TEST_F(RoomTest, KnowsNothingAfterThreeUnreadableLooks) {
  for (int i = 0; i < 20; ++i) look({.running = 8, .waiting = 56}, 64);
  room_.observe(std::nullopt, 64, now_);
  room_.observe(std::nullopt, 64, now_);
  EXPECT_LT(room_.prompts(), 64u) << "a busy engine may miss a look";
  room_.observe(std::nullopt, 64, now_);
  EXPECT_EQ(room_.prompts(), 64u);
}

TEST_F(RoomTest, SeesThatTheFrontEndIsTheBottleneckAndThatItNoLongerIs) {
  look({.running = 4, .waiting = 0}, 60);
  EXPECT_FALSE(room_.front_end_bound()) << "once is chance";
  look({.running = 4, .waiting = 0}, 60);
  EXPECT_TRUE(room_.front_end_bound());
  look({.running = 50, .waiting = 0}, 60);
  EXPECT_TRUE(room_.front_end_bound()) << "it does not flutter";
  now_ += 5s;
  look({.running = 50, .waiting = 0}, 60);
  EXPECT_FALSE(room_.front_end_bound());
}

TEST_F(RoomTest, DoesNotMistakeAFewRequestsOnTheirWayForABusyFrontEnd) {
  for (int i = 0; i < 4; ++i) look({.running = 0, .waiting = 0}, 15);
  EXPECT_FALSE(room_.front_end_bound());
}

}  // namespace
}  // namespace batchproxy
