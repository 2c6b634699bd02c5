// tests/batcher/engine/room_test.cc - what a backend's metrics teach about its room.
#include "batcher/engine/room.h"

#include <limits>

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

  // For so long its metrics cannot be read.
  void look_blindly(Duration time) {
    for (Duration passed = 0ms; passed < time; passed += 250ms) {
      now_ += 250ms;
      room_.observe(std::nullopt, 0, now_);
    }
  }

  // It answers so many a second, for so long.
  void answer(int rate, Duration time) {
    for (int i = 0; i < rate * static_cast<int>(time / 1s); ++i) {
      now_ += Duration(1s) / rate;
      room_.on_answered(1, now_);
    }
  }

  Room room_{64, 16};
  TimePoint now_ = TimePoint() + 1h;
};

TEST_F(RoomTest, CountsWhatIsAnsweredInPrompts) {
  for (int i = 0; i < 12; ++i) {
    now_ += 250ms;
    room_.on_answered(64, now_);
  }
  EXPECT_NEAR(room_.answers_in(1s), 256, 16);
}

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

TEST_F(RoomTest, ShrinksToWhatItTookWhenItSaysThatItIsFullAndGrowsAgainSlowly) {
  room_.on_full(20, now_);
  EXPECT_EQ(room_.prompts(), 20u);
  look_blindly(500ms);
  EXPECT_EQ(room_.prompts(), 20u) << "others that were on their way may come back as well";
  look_blindly(10s);
  EXPECT_GT(room_.prompts(), 20u);
  EXPECT_LT(room_.prompts(), 50u);
  look_blindly(60s);
  EXPECT_EQ(room_.prompts(), 64u) << "the bound has been lifted";
}

TEST_F(RoomTest, ShrinksOncePerRefusalOfABurst) {
  for (std::uint32_t others = 63; others >= 40; --others) room_.on_full(others, now_);
  EXPECT_EQ(room_.prompts(), 40u);
}

TEST_F(RoomTest, IsNotWidenedByARefusalThatCameWithMoreInFlight) {
  room_.on_full(20, now_);
  room_.on_full(30, now_);
  EXPECT_EQ(room_.prompts(), 20u);
}

TEST_F(RoomTest, IsNeverNothing) {
  room_.on_full(0, now_);
  EXPECT_EQ(room_.prompts(), 1u);
  for (int i = 0; i < 100; ++i) {
    now_ += 10s;
    room_.on_expired(1s, now_);
  }
  EXPECT_EQ(room_.prompts(), 1u);
  look_blindly(120s);
  EXPECT_EQ(room_.prompts(), 64u);
}

TEST_F(RoomTest, KeepsToWhatItTookWhileTheMetricsSeeRoomForMore) {
  room_.on_full(20, now_);
  room_.on_held_back();
  look({.running = 20, .waiting = 0}, 20);
  EXPECT_EQ(room_.prompts(), 20u);
}

TEST_F(RoomTest, KnowsHowManyItAnswersInATime) {
  EXPECT_EQ(room_.answers_in(1s), std::numeric_limits<double>::infinity());
  answer(20, 3s);
  EXPECT_NEAR(room_.answers_in(2s), 40, 3);
  now_ += 1min;  // nothing was asked
  answer(20, 3s);
  EXPECT_NEAR(room_.answers_in(2s), 40, 3) << "a pause is not the engine's";
}

TEST_F(RoomTest, ShrinksToWhatItAnswersInHalfOfTheTimeWhenMostRequestsExpire) {
  answer(20, 3s);
  for (int i = 0; i < 200; ++i) room_.on_expired(2s, now_);
  EXPECT_NEAR(room_.prompts(), 20, 2);
  EXPECT_EQ(room_.bound(), room_.prompts());
}

TEST_F(RoomTest, DoesNotShrinkForAFewThatExpireAmongManyAnswers) {
  for (int i = 0; i < 200; ++i) {
    answer(20, 1s);
    room_.on_expired(1s, now_);
  }
  EXPECT_EQ(room_.prompts(), 64u);
}

TEST_F(RoomTest, GoesByWhetherRequestsWaitInsideTheEngineIfItTells) {
  answer(20, 3s);
  look({.running = 8, .waiting = 0}, 8);
  for (int i = 0; i < 200; ++i) room_.on_expired(2s, now_);
  EXPECT_EQ(room_.prompts(), 64u) << "they are too long themselves";
  look({.running = 8, .waiting = 1}, 9);
  room_.on_expired(2s, now_);
  EXPECT_NEAR(room_.prompts(), 20, 2);
}

TEST_F(RoomTest, IsNeverSmallerThanWhatTheEngineRunsAtOnce) {
  answer(4, 3s);  // little was asked for: it says nothing of what the engine can
  look({.running = 8, .waiting = 1}, 9);
  room_.on_expired(1s, now_);
  EXPECT_EQ(room_.prompts(), 8u);
}

TEST_F(RoomTest, IsAsWideAsBeforeOnceTheBoundIsGoneThoughNobodyWasHeldBack) {
  room_.on_full(8, now_);
  for (int i = 0; i < 60; ++i) {
    now_ += 1s;
    look({.running = 8, .waiting = 0}, 8);
  }
  EXPECT_EQ(room_.prompts(), 64u) << "another engine had room, so nothing was held back";
}

TEST_F(RoomTest, WaitsForWhatASmallerRoomDoesBeforeItShrinksAgain) {
  answer(20, 3s);
  for (int i = 0; i < 200; ++i) room_.on_expired(2s, now_);
  const auto before = room_.prompts();
  room_.on_expired(1s, now_ += 1s);
  EXPECT_EQ(room_.prompts(), before);
  room_.on_expired(1s, now_ += 1s);
  EXPECT_LT(room_.prompts(), before);
}

TEST_F(RoomTest, SoonForgetsThatAllExpiredOnceAnswersComeAgain) {
  for (int i = 0; i < 100000; ++i) room_.on_expired(1s, now_);
  answer(20, 5s);
  room_.on_expired(1s, now_);
  EXPECT_EQ(room_.prompts(), 64u);
}

}  // namespace
}  // namespace batchproxy
