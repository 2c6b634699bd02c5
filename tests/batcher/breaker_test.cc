// tests/batcher/breaker_test.cc - when a backend's breaker opens, and how it closes again.
#include "batcher/breaker.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since_start) {
  return TimePoint() + 1h + since_start;
}

class BreakerTest : public testing::Test {
 protected:
  // A result of a request granted just now.
  void outcome(Outcome outcome, Duration now = 0s) {
    breaker_.on_outcome(outcome, breaker_.generation(), at(now));
  }
  void outcomes(int count, Outcome one, Duration now = 0s) {
    for (int i = 0; i < count; ++i) outcome(one, now);
  }
  // Opens it, and lets the probes of the first `openings` - 1 pauses fail.
  Duration open(int openings) {
    outcomes(Breaker::kLosses, Outcome::kLost);
    Duration now = 0s;
    for (int i = 1; i < openings; ++i) {
      now = *breaker_.changes_at(at(now)) - at(0s);
      breaker_.on_granted(at(now));
      outcome(Outcome::kLost, now);
    }
    return now;
  }

  Breaker breaker_;
};

TEST_F(BreakerTest, OpensAtTheThirdLossInARow) {
  outcomes(2, Outcome::kLost);
  EXPECT_TRUE(breaker_.is_closed());
  EXPECT_TRUE(breaker_.admits(at(0s)));
  EXPECT_EQ(breaker_.changes_at(at(0s)), std::nullopt);
  outcome(Outcome::kLost);
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_FALSE(breaker_.admits(at(0s)));
}

TEST_F(BreakerTest, OpensAtTheFifthServerErrorInARow) {
  outcomes(4, Outcome::kServerError);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kServerError);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, TakesNoAnswerInTimeForALoss) {
  outcome(Outcome::kLost);
  outcomes(2, Outcome::kTimedOut);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, StartsCountingAnewWhenItIsAnsweredIfOnlyWithARefusal) {
  for (const Outcome alive : {Outcome::kGood, Outcome::kRejected}) {
    Breaker breaker;
    for (int round = 0; round < 5; ++round) {
      for (int i = 0; i < 2; ++i) breaker.on_outcome(Outcome::kLost, 0, at(0s));
      breaker.on_outcome(alive, 0, at(0s));
      for (int i = 0; i < 4; ++i) breaker.on_outcome(Outcome::kServerError, 0, at(0s));
      breaker.on_outcome(alive, 0, at(0s));
    }
    EXPECT_TRUE(breaker.is_closed());
  }
}

TEST_F(BreakerTest, SeesInAServerErrorThatTheServerIsThereButInALossNoAnswer) {
  outcomes(2, Outcome::kLost);
  outcome(Outcome::kServerError);
  outcomes(2, Outcome::kLost);
  EXPECT_TRUE(breaker_.is_closed());
  outcomes(4, Outcome::kServerError);  // the fifth, with losses between them
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, LearnsNothingFromWhatWeEndedOurselves) {
  outcomes(2, Outcome::kLost);
  outcomes(10, Outcome::kUnknown);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kLost);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, IgnoresResultsFromBeforeItOpened) {
  const auto before = breaker_.generation();
  outcomes(3, Outcome::kLost);
  ASSERT_NE(breaker_.generation(), before);
  breaker_.on_granted(at(5s));
  for (const Outcome late : {Outcome::kGood, Outcome::kUnknown, Outcome::kLost}) {
    breaker_.on_outcome(late, before, at(5s));
    EXPECT_FALSE(breaker_.is_closed());
    EXPECT_FALSE(breaker_.admits(at(5s))) << "the probe is still out";
    EXPECT_EQ(breaker_.changes_at(at(5s)), at(10s));
  }
}

TEST_F(BreakerTest, AdmitsOneRequestWhenThePauseIsOver) {
  outcomes(3, Outcome::kLost);
  EXPECT_EQ(breaker_.changes_at(at(0s)), at(5s));
  EXPECT_FALSE(breaker_.admits(at(4999ms)));
  EXPECT_TRUE(breaker_.admits(at(5s)));
  EXPECT_EQ(breaker_.changes_at(at(5s)), std::nullopt);
  EXPECT_FALSE(breaker_.is_closed());
  breaker_.on_granted(at(6s));
  EXPECT_FALSE(breaker_.admits(at(6s)));
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, PausesLongerEachTimeItOpensAgainButNeverBeyondAMinute) {
  for (int openings = 1; openings < 20; ++openings) {
    breaker_ = Breaker();
    const Duration now = open(openings);
    EXPECT_EQ(breaker_.changes_at(at(now)), at(now + std::min<Duration>(60s, openings * 5s)));
  }
}

TEST_F(BreakerTest, ClosesWhenTheProbeIsAnswered) {
  for (const Outcome alive : {Outcome::kGood, Outcome::kRejected}) {
    breaker_ = Breaker();
    const Duration opened = open(3);
    breaker_.on_granted(at(opened + 15s));
    outcome(alive, opened + 15s);
    EXPECT_TRUE(breaker_.is_closed());
    EXPECT_EQ(breaker_.changes_at(at(opened + 15s)), std::nullopt);
    // All is forgotten: it takes three again, and the pause is the shortest.
    outcomes(2, Outcome::kLost, opened + 16s);
    EXPECT_TRUE(breaker_.is_closed());
    outcome(Outcome::kLost, opened + 16s);
    EXPECT_EQ(breaker_.changes_at(at(opened + 16s)), at(opened + 21s));
  }
}

TEST_F(BreakerTest, ClosesWhenTheProbeHasLastedFiveSeconds) {
  open(1);
  breaker_.on_granted(at(7s));
  EXPECT_EQ(breaker_.changes_at(at(7s)), at(12s));
  breaker_.advance(at(11999ms));
  EXPECT_FALSE(breaker_.is_closed());
  breaker_.advance(at(12s));
  EXPECT_TRUE(breaker_.is_closed());
  EXPECT_TRUE(breaker_.admits(at(12s)));
}

TEST_F(BreakerTest, DoesNotCloseByTimeAlone) {
  open(1);
  breaker_.advance(at(1h));
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_TRUE(breaker_.admits(at(1h)));
}

TEST_F(BreakerTest, OpensForLongerWhenTheProbeFailsInAnyWay) {
  for (const Outcome failure : {Outcome::kLost, Outcome::kTimedOut, Outcome::kServerError}) {
    breaker_ = Breaker();
    open(1);
    breaker_.on_granted(at(5s));
    outcome(failure, 6s);
    EXPECT_FALSE(breaker_.admits(at(6s)));
    EXPECT_EQ(breaker_.changes_at(at(6s)), at(16s));
  }
}

TEST_F(BreakerTest, LetsAnotherGoWhenTheProbeWasCalledOff) {
  open(1);
  breaker_.on_granted(at(5s));
  outcome(Outcome::kUnknown, 6s);
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_TRUE(breaker_.admits(at(6s)));
  breaker_.advance(at(10s));
  EXPECT_FALSE(breaker_.is_closed()) << "the one that was called off has proved nothing";
  breaker_.on_granted(at(10s));
  EXPECT_FALSE(breaker_.admits(at(10s)));
  outcome(Outcome::kLost, 11s);
  EXPECT_EQ(breaker_.changes_at(at(11s)), at(21s)) << "the second opening";
}

TEST_F(BreakerTest, NeedNotWaitOnceItsServerIsThereAgain) {
  open(2);
  const auto before = breaker_.generation();
  breaker_.on_ready(at(6s));
  EXPECT_TRUE(breaker_.admits(at(6s)));
  EXPECT_FALSE(breaker_.is_closed()) << "it has yet to prove itself";
  EXPECT_NE(breaker_.generation(), before);
  breaker_.on_granted(at(6s));
  EXPECT_FALSE(breaker_.admits(at(6s)));
  outcome(Outcome::kLost, 6s);
  EXPECT_EQ(breaker_.changes_at(at(6s)), at(21s)) << "the third opening";
}

TEST_F(BreakerTest, ForgetsAProbeWhenItsServerHasComeBackMeanwhile) {
  open(1);
  breaker_.on_granted(at(5s));
  const auto probe = breaker_.generation();
  breaker_.on_ready(at(6s));
  EXPECT_TRUE(breaker_.admits(at(6s)));
  breaker_.on_outcome(Outcome::kLost, probe, at(6s));
  EXPECT_TRUE(breaker_.admits(at(6s)));
}

TEST_F(BreakerTest, DoesNotBlameANewServerForTheLossesOfTheOld) {
  const auto before = breaker_.generation();
  outcomes(2, Outcome::kLost);
  breaker_.on_ready(at(1s));
  EXPECT_TRUE(breaker_.is_closed());
  for (int i = 0; i < 10; ++i) breaker_.on_outcome(Outcome::kLost, before, at(1s));
  outcomes(2, Outcome::kLost, 1s);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kLost, 1s);
  EXPECT_FALSE(breaker_.is_closed());
}

}  // namespace
}  // namespace batchproxy
