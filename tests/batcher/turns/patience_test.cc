// tests/batcher/turns/patience_test.cc - what is learnt of a client's time-out from when it leaves.
#include "batcher/turns/patience.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kNow = TimePoint() + 1h;

class PatienceTest : public testing::Test {
 protected:
  void leave(int count, Duration wait) {
    for (int i = 0; i < count; ++i) patience_.on_left(wait, kNow);
  }
  std::optional<Duration> learnt() const { return patience_.learnt(kNow); }

  Patience patience_;
};

TEST_F(PatienceTest, IsLearntFromEightDeparturesAfterTheSameWait) {
  leave(7, 30s);
  EXPECT_EQ(learnt(), std::nullopt);
  leave(1, 30s);
  EXPECT_EQ(learnt(), 30s);
}

TEST_F(PatienceTest, IsTheShorterOfWaitsThatDifferByATenthAtMost) {
  for (int i = 0; i < 8; ++i) patience_.on_left(30s + i * 300ms, kNow - 7s + i * 1s);
  EXPECT_EQ(learnt(), 30300ms) << "the shortest but one";
}

TEST_F(PatienceTest, IsNotMisledByOneExtremeAtEachEnd) {
  leave(6, 30s);
  leave(1, 1s);
  leave(1, 10min);
  EXPECT_EQ(learnt(), 30s);
}

TEST_F(PatienceTest, IsNotLearntFromAJobThatIsStopped) {
  for (int i = 1; i <= 100; ++i) patience_.on_left(i * 1s, kNow);
  EXPECT_EQ(learnt(), std::nullopt);
}

TEST_F(PatienceTest, IsLearntFromRequestsThatWereMadeAtOnceAndGivenUpAtOnce) {
  for (int i = 0; i < 8; ++i) patience_.on_left(30s + i * 1ms, kNow);
  EXPECT_TRUE(learnt());
}

TEST_F(PatienceTest, FollowsAClientThatChangesItsTimeOut) {
  leave(8, 30s);
  leave(4, 60s);
  EXPECT_EQ(learnt(), std::nullopt);
  leave(4, 60s);
  EXPECT_EQ(learnt(), 60s);
}

TEST_F(PatienceTest, IsDisprovedByAnAnswerThatWasTakenAfterALongerWait) {
  leave(8, 30s);
  patience_.on_answered(31500ms);
  EXPECT_EQ(learnt(), 30s) << "within the tolerance";
  patience_.on_answered(31501ms);
  EXPECT_EQ(learnt(), std::nullopt);
  leave(7, 30s);
  EXPECT_EQ(learnt(), std::nullopt) << "it must be learnt anew";
  leave(1, 30s);
  EXPECT_EQ(learnt(), 30s);
}

TEST_F(PatienceTest, IsForgottenAMinuteAfterTheLastDeparture) {
  EXPECT_FALSE(patience_.remembers(kNow));
  leave(8, 30s);
  EXPECT_EQ(patience_.learnt(kNow + 60s - 1ms), 30s);
  EXPECT_TRUE(patience_.remembers(kNow + 60s - 1ms));
  EXPECT_EQ(patience_.learnt(kNow + 60s), std::nullopt);
  EXPECT_FALSE(patience_.remembers(kNow + 60s));
}

}  // namespace
}  // namespace batchproxy
