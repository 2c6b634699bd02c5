// tests/batcher/fleet/breaker_test.cc - when a backend's breaker opens, and how it closes again.
#include "batcher/fleet/breaker.h"

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
    breaker_.on_outcome(outcome, breaker_.generation(), usual_, at(now));
  }
  void outcomes(int count, Outcome one, Duration now = 0s) {
    for (int i = 0; i < count; ++i) outcome(one, now);
  }
  // Opens it, and lets the probes of the first `openings` - 1 pauses fail.
  Duration open(int openings) {
    outcome(Outcome::kDied);
    Duration now = 0s;
    for (int i = 1; i < openings; ++i) {
      now = *breaker_.changes_at(at(now)) - at(0s);
      breaker_.on_granted(at(now));
      outcome(Outcome::kLost, now);
    }
    return now;
  }

  // `count` that fail, spread over half a second up to `until`.
  void lose(int count, Duration until, Outcome one = Outcome::kLost) {
    outcomes(count - 1, one, until - Breaker::kLeastStreak);
    outcome(one, until);
  }
  void refute(int count, Duration now = 0s) {
    for (int i = 0; i < count; ++i) breaker_.on_refuted(usual_, at(now));
  }

  Breaker breaker_;
  Duration usual_{};  // what its answers take
};

TEST_F(BreakerTest, OpensAtTheThirdLossWithoutASuccess) {
  outcomes(2, Outcome::kLost);
  EXPECT_TRUE(breaker_.is_closed());
  EXPECT_TRUE(breaker_.admits(at(0s)));
  EXPECT_EQ(breaker_.changes_at(at(0s)), std::nullopt);
  outcome(Outcome::kLost, 500ms);
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_FALSE(breaker_.admits(at(500ms)));
}

TEST_F(BreakerTest, DoesNotOpenForLossesOfOneMomentWhileSuccessesMayBeOnTheirWay) {
  outcomes(50, Outcome::kLost);
  outcomes(50, Outcome::kLost, 499ms);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kLost, 500ms);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, CountsOnlyAfterAsLongWithoutASuccessAsAnswersUsuallyTake) {
  usual_ = 8s;
  outcomes(3, Outcome::kLost);
  outcome(Outcome::kLost, 9999ms);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kLost, 10s);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, OpensAtOnceWhenItsEngineHasDied) {
  usual_ = 1min;
  outcome(Outcome::kDied);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, OpensAtOnceWhenItStandsStill) {
  usual_ = 1min;
  breaker_.on_stuck(at(0s));
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_EQ(breaker_.changes_at(at(0s)), at(5s));
}

TEST_F(BreakerTest, DoesNotOpenForServerErrorsWhileOthersAreAnswered) {
  usual_ = 2s;
  for (int i = 0; i < 1000; ++i) {
    outcome(Outcome::kServerError, i * 100ms);
    if (i % 20 == 19) outcome(Outcome::kGood, i * 100ms);
  }
  EXPECT_TRUE(breaker_.is_closed());
}

TEST_F(BreakerTest, OpensAtTheTenthServerErrorWhenNobodyIsAnswered) {
  for (int i = 0; i < 9; ++i) outcome(Outcome::kServerError, i * 1s);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kServerError, 9s);
  EXPECT_FALSE(breaker_.is_closed());
  breaker_ = Breaker();
  usual_ = 2s;
  for (int i = 0; i < 100; ++i) outcome(Outcome::kServerError, i * 25ms);
  EXPECT_TRUE(breaker_.is_closed()) << "an answer may be on its way";
  outcome(Outcome::kServerError, 2500ms);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, OpensAtTheFifthErrorThatAnotherBackendHasRefuted) {
  refute(4);
  EXPECT_TRUE(breaker_.is_closed());
  refute(1, 499ms);
  EXPECT_TRUE(breaker_.is_closed()) << "its successes may be on their way";
  refute(1, 500ms);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, DoesNotOpenForRefutedErrorsWithASuccessAmongEachFive) {
  for (int i = 0; i < 100; ++i) {
    refute(4, i * 1s);
    outcome(Outcome::kGood, i * 1s);
  }
  EXPECT_TRUE(breaker_.is_closed());
}

TEST_F(BreakerTest, IsNotOpenedAgainByRefutationsThatCameLate) {
  open(1);
  refute(50, 1s);
  EXPECT_EQ(breaker_.changes_at(at(1s)), at(5s));
}

TEST_F(BreakerTest, TakesNoAnswerInTimeForALoss) {
  outcome(Outcome::kLost);
  outcome(Outcome::kTimedOut);
  outcome(Outcome::kTimedOut, 500ms);
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, StartsCountingAnewWhenItIsAnsweredIfOnlyWithARefusalOrThatItIsFull) {
  for (const Outcome alive : {Outcome::kGood, Outcome::kRejected, Outcome::kFull}) {
    breaker_ = Breaker();
    for (int round = 0; round < 5; ++round) {
      lose(2, (round + 1) * 10s);
      refute(4, (round + 1) * 10s);
      outcome(alive, (round + 1) * 10s);
    }
    EXPECT_TRUE(breaker_.is_closed());
  }
}

TEST_F(BreakerTest, LearnsNothingFromDeadlinesDeparturesAndWhatWeEndedOurselves) {
  for (const Outcome nothing : {Outcome::kExpired, Outcome::kLeft, Outcome::kUnknown}) {
    breaker_ = Breaker();
    outcomes(2, Outcome::kLost);
    for (int i = 0; i < 100; ++i) outcome(nothing, i * 10s);
    EXPECT_TRUE(breaker_.is_closed());
    outcome(Outcome::kLost, 1000s);
    EXPECT_FALSE(breaker_.is_closed()) << "it forgives nothing either";
  }
}

TEST_F(BreakerTest, IgnoresResultsFromBeforeItOpened) {
  const auto before = breaker_.generation();
  outcome(Outcome::kDied);
  ASSERT_NE(breaker_.generation(), before);
  breaker_.on_granted(at(5s));
  for (const Outcome late : {Outcome::kGood, Outcome::kUnknown, Outcome::kLost, Outcome::kDied}) {
    breaker_.on_outcome(late, before, 0s, at(5s));
    EXPECT_FALSE(breaker_.is_closed());
    EXPECT_FALSE(breaker_.admits(at(5s))) << "the probe is still out";
    EXPECT_EQ(breaker_.changes_at(at(5s)), at(10s));
  }
}

TEST_F(BreakerTest, AdmitsOneRequestWhenThePauseIsOver) {
  outcome(Outcome::kDied);
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
  for (const Outcome alive : {Outcome::kGood, Outcome::kRejected, Outcome::kFull}) {
    breaker_ = Breaker();
    const Duration opened = open(3);
    breaker_.on_granted(at(opened + 15s));
    outcome(alive, opened + 15s);
    EXPECT_TRUE(breaker_.is_closed());
    EXPECT_EQ(breaker_.changes_at(at(opened + 15s)), std::nullopt);
    // All is forgotten: it takes three again, and the pause is the shortest.
    outcomes(2, Outcome::kLost, opened + 16s);
    EXPECT_TRUE(breaker_.is_closed());
    outcome(Outcome::kLost, opened + 17s);
    EXPECT_EQ(breaker_.changes_at(at(opened + 17s)), at(opened + 22s));
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

TEST_F(BreakerTest, OpensForLongerWhenTheProbeIsLost) {
  for (const Outcome failure : {Outcome::kLost, Outcome::kTimedOut, Outcome::kDied}) {
    breaker_ = Breaker();
    open(1);
    breaker_.on_granted(at(5s));
    outcome(failure, 6s);
    EXPECT_FALSE(breaker_.admits(at(6s)));
    EXPECT_EQ(breaker_.changes_at(at(6s)), at(16s));
  }
}

TEST_F(BreakerTest, ProbesAgainASecondAfterAProbeThatWasAnsweredWithAServerError) {
  open(3);
  breaker_.on_granted(at(20s));
  outcome(Outcome::kServerError, 20s);
  EXPECT_FALSE(breaker_.is_closed());
  EXPECT_FALSE(breaker_.admits(at(20s), /*last_resort=*/true));
  EXPECT_EQ(breaker_.changes_at(at(20s)), at(21s));
  EXPECT_TRUE(breaker_.admits(at(21s)));
}

TEST_F(BreakerTest, AdmitsAProbeASecondAfterTheOpeningWhenNoOtherBackendIsUp) {
  outcome(Outcome::kDied);
  EXPECT_FALSE(breaker_.admits(at(999ms), true));
  EXPECT_EQ(breaker_.changes_at(at(0s), true), at(1s));
  EXPECT_TRUE(breaker_.admits(at(1s), true));
  EXPECT_FALSE(breaker_.admits(at(1s), false));
  breaker_.on_granted(at(1s));
  EXPECT_FALSE(breaker_.admits(at(1s), true)) << "one request, not many";
}

TEST_F(BreakerTest, ClosesAfterStandingStillOnlyWhenAProbeIsAnswered) {
  breaker_.on_stuck(at(0s));
  breaker_.on_granted(at(5s));
  EXPECT_EQ(breaker_.changes_at(at(5s)), std::nullopt);
  breaker_.advance(at(1h));
  EXPECT_FALSE(breaker_.is_closed()) << "that it lasts is what it did before";
  outcome(Outcome::kGood, 1h);
  EXPECT_TRUE(breaker_.is_closed());
}

TEST_F(BreakerTest, WantsAnAnswerAfterStandingStillEvenIfAProbeWasLostMeanwhile) {
  breaker_.on_stuck(at(0s));
  breaker_.on_granted(at(5s));
  outcome(Outcome::kLost, 6s);
  breaker_.on_granted(at(16s));
  breaker_.advance(at(1h));
  EXPECT_FALSE(breaker_.is_closed());
}

TEST_F(BreakerTest, ClosesAfterStandingStillWhenItMovesAgainAndAProbeLasts) {
  breaker_.on_stuck(at(0s));
  breaker_.on_ready(at(2s));
  EXPECT_TRUE(breaker_.admits(at(2s)));
  breaker_.on_granted(at(2s));
  breaker_.advance(at(7s));
  EXPECT_TRUE(breaker_.is_closed());
}

TEST_F(BreakerTest, LetsAnotherGoWhenTheProbeWasCalledOffByItsClientItsDeadlineOrUs) {
  for (const Outcome off : {Outcome::kUnknown, Outcome::kExpired, Outcome::kLeft}) {
    breaker_ = Breaker();
    open(1);
    breaker_.on_granted(at(5s));
    outcome(off, 6s);
    EXPECT_TRUE(breaker_.admits(at(6s)));
    EXPECT_FALSE(breaker_.is_closed());
  }
  breaker_ = Breaker();
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

TEST_F(BreakerTest, IsNotFailingFromWhenItsServerIsThereAgainUntilACallFails) {
  for (const Outcome bad : {Outcome::kLost, Outcome::kServerError, Outcome::kDied}) {
    breaker_ = Breaker();
    EXPECT_FALSE(breaker_.is_failing());
    open(1);
    EXPECT_TRUE(breaker_.is_failing());
    breaker_.advance(at(1h));
    EXPECT_TRUE(breaker_.is_failing()) << "nobody has asked it since";
    breaker_.on_ready(at(1h));
    EXPECT_FALSE(breaker_.is_failing());
    breaker_.on_granted(at(1h));
    EXPECT_FALSE(breaker_.is_failing());
    outcome(bad, 1h);
    EXPECT_TRUE(breaker_.is_failing());
    breaker_.on_granted(at(2h));
    outcome(Outcome::kGood, 2h);
    EXPECT_FALSE(breaker_.is_failing());
  }
}

TEST_F(BreakerTest, ForgetsAProbeWhenItsServerHasComeBackMeanwhile) {
  open(1);
  breaker_.on_granted(at(5s));
  const auto probe = breaker_.generation();
  breaker_.on_ready(at(6s));
  EXPECT_TRUE(breaker_.admits(at(6s)));
  breaker_.on_outcome(Outcome::kLost, probe, 0s, at(6s));
  EXPECT_TRUE(breaker_.admits(at(6s)));
}

TEST_F(BreakerTest, DoesNotBlameANewServerForTheLossesOfTheOld) {
  const auto before = breaker_.generation();
  outcomes(2, Outcome::kLost);
  breaker_.on_ready(at(1s));
  EXPECT_TRUE(breaker_.is_closed());
  for (int i = 0; i < 10; ++i) breaker_.on_outcome(Outcome::kLost, before, 0s, at(2s));
  outcomes(2, Outcome::kLost, 2s);
  EXPECT_TRUE(breaker_.is_closed());
  outcome(Outcome::kLost, 3s);
  EXPECT_FALSE(breaker_.is_closed());
}

}  // namespace
}  // namespace batchproxy
