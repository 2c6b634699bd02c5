// tests/batcher/engine/answer_times_test.cc - what is known of how long answers take.
#include "batcher/engine/answer_times.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

class AnswerTimesTest : public testing::Test {
 protected:
  void add(int count, Duration took) {
    for (int i = 0; i < count; ++i) times_.add(took);
  }
  void add_longer_than(int count, Duration took) {
    for (int i = 0; i < count; ++i) times_.add_longer_than(took);
  }
  void expect_usual(Duration least) const {
    EXPECT_GE(times_.usual(), least);
    EXPECT_LE(times_.usual(), least + least / 4 + 1us);
  }

  AnswerTimes times_;
};

TEST_F(AnswerTimesTest, SayNothingWhileTooFewAreKnown) {
  EXPECT_EQ(times_.usual(), Duration::zero());
  add(7, 1s);
  EXPECT_EQ(times_.usual(), Duration::zero());
  add(9, 1s);
  expect_usual(1s);
}

TEST_F(AnswerTimesTest, AreRightToABucketsWidthFromAMillisecondToHours) {
  for (const Duration took :
       {Duration(1ms), Duration(37ms), Duration(1s), Duration(90s), Duration(1h), Duration(12h)}) {
    times_ = {};
    add(16, took);
    expect_usual(took);
  }
}

TEST_F(AnswerTimesTest, HoldTheShortestAndTheLongestInTheirEndBuckets) {
  add(16, 0s);
  EXPECT_EQ(times_.usual(), 1ms);
  times_ = {};
  add(16, 1000h);
  EXPECT_GT(times_.usual(), 12h);
}

TEST_F(AnswerTimesTest, AreNotMovedByFourOfAHundredThatTakeLong) {
  add(96, 1s);
  add(4, 1min);
  add(60, 1s);
  expect_usual(1s);
}

TEST_F(AnswerTimesTest, AreMovedByOneInTenThatTakesLong) {
  for (int i = 0; i < 20; ++i) {
    add(9, 1s);
    add(1, 1min);
  }
  expect_usual(1min);
}

TEST_F(AnswerTimesTest, ThatOneInTenTakesFarLongerIsNoReasonNotToSendTheOthers) {
  for (int i = 0; i < 20; ++i) {
    add(9, 1s);
    add(1, 1min);
  }
  EXPECT_GE(times_.least(), 4s);
  EXPECT_LE(times_.least(), 5s);
}

TEST_F(AnswerTimesTest, AreNeededInFullWhereMostTakeAboutAsLong) {
  for (int i = 0; i < 100; ++i) add(1, 250ms + i * 10ms);
  EXPECT_EQ(times_.least(), times_.usual());
}

TEST_F(AnswerTimesTest, ForgetHowItWas) {
  add(5000, 1min);
  add(1500, 1s);
  expect_usual(1s);
}

TEST_F(AnswerTimesTest, GrowWhenDeadlinesEndCallsThatHadAsMuchTimeAsUsual) {
  add(16, 1s);
  add_longer_than(8, 10s);
  EXPECT_GT(times_.usual(), 10s);
}

TEST_F(AnswerTimesTest, LearnNothingFromACallThatHadLessTimeThanMostAnswersTake) {
  add(16, 10s);
  add_longer_than(1000, 1s);
  expect_usual(10s);
}

TEST_F(AnswerTimesTest, ComeDownAgainWhenAnswersComeInTimeAgain) {
  add(16, 1s);
  add_longer_than(1000, 30s);
  EXPECT_GT(times_.usual(), 30s);
  add(1500, 1s);
  expect_usual(1s);
}

}  // namespace
}  // namespace batchproxy
