// tests/proxy/leg_core_test.cc - LegCore: what a leg of a job does next, and what its end is.
#include "proxy/request/leg_core.h"

#include <optional>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using Do = LegCore::Do;
using Act = LegCore::Act;
using Ending = LegCore::Ending;
using CallEnd = LegCore::CallEnd;

constexpr TimePoint kNow = TimePoint() + 1h;

class LegCoreTest : public testing::Test {
 protected:
  LegCoreTest() {
    Ticket& ticket = leg_.ticket();
    ticket.arrival = kNow;
    ticket.deadline = kNow + 10s;
    ticket.backends = BackendSet::first(3);
    ticket.client = 7;
  }

  // The lane says yes, or no.
  static Do grant(LegCore& leg, BackendId backend, bool alone = false) {
    EXPECT_TRUE(leg.on_returned());
    leg.ticket().verdict = {};
    leg.ticket().verdict.backend = backend;
    leg.ticket().verdict.alone = alone;
    return leg.on_verdict();
  }
  static Do refuse(LegCore& leg, Errc why) {
    EXPECT_TRUE(leg.on_returned());
    leg.ticket().verdict = {};
    leg.ticket().verdict.refused = why;
    return leg.on_verdict();
  }
  static CallEnd answer(unsigned status) { return {.status = status, .at = kNow}; }
  static CallEnd failure(CallFailure how) { return {.failure = how, .silent = true, .at = kNow}; }
  // A call that ends so that nobody need be asked how the backend is.
  static Do call(LegCore& leg, BackendId backend, const CallEnd& end) {
    EXPECT_EQ(grant(leg, backend), Do::kCall);
    EXPECT_EQ(leg.on_call_ended(end), Do::kReport);
    return leg.go_on();
  }
  void start_call() {
    ASSERT_EQ(leg_.begin(), Do::kSubmit);
    ASSERT_EQ(grant(leg_, 0), Do::kCall);
  }

  Attempts attempts_;
  LegCore leg_{attempts_, /*may_wait=*/true};
};

TEST_F(LegCoreTest, AnAnswerEndsIt) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  EXPECT_EQ(call(leg_, 1, answer(200)), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kAnswer);
  EXPECT_EQ(leg_.report().outcome, Outcome::kGood);
  EXPECT_EQ(leg_.report().backend, 1u);
  EXPECT_FALSE(leg_.report().failed);
  EXPECT_FALSE(leg_.report().looks_gone);
}

TEST_F(LegCoreTest, AStreamThatHasBegunIsItsEndAndIsReportedLater) {
  start_call();
  EXPECT_EQ(leg_.on_call_ended({.status = 200, .streams = true}), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kStream);
  EXPECT_EQ(leg_.cancel(true), Act::kEndCall) << "the call is still under way";
  EXPECT_EQ(leg_.on_stream_ended(false, CallFailure::kCutAnswer), Outcome::kUnknown);
}

TEST_F(LegCoreTest, ABrokenStreamTellsOfItsBackend) {
  start_call();
  leg_.on_call_ended({.status = 200, .streams = true});
  EXPECT_EQ(leg_.on_stream_ended(false, CallFailure::kCutAnswer), Outcome::kLost);
}

TEST_F(LegCoreTest, ARefusalOfTheLaneIsTheClients) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  EXPECT_EQ(refuse(leg_, Errc::kQueueFull), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kFailed);
  EXPECT_EQ(leg_.refused(), Errc::kQueueFull);
}

TEST_F(LegCoreTest, ABackendsOwnErrorSaysMoreThanThatNoRetryWasToBeHad) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  ASSERT_EQ(grant(leg_, 0), Do::kCall);
  ASSERT_EQ(leg_.on_call_ended(answer(500)), Do::kLookAt);
  ASSERT_EQ(leg_.on_looked_at(true, kNow), Do::kReport);
  ASSERT_EQ(leg_.go_on(), Do::kRetry);
  EXPECT_TRUE(leg_.ticket().costs_budget);
  EXPECT_EQ(refuse(leg_, Errc::kQueueTimeout), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kAnswer);
  EXPECT_EQ(leg_.status(), 500u);
}

TEST_F(LegCoreTest, AnEnginesLastWordsAreNotTheClients) {
  start_call();
  CallEnd end = answer(500);
  end.says_dead = true;
  ASSERT_EQ(leg_.on_call_ended(end), Do::kReport) << "nobody need be asked";
  EXPECT_EQ(leg_.report().outcome, Outcome::kDied);
  EXPECT_TRUE(leg_.report().looks_gone);
  ASSERT_EQ(leg_.go_on(), Do::kRetry);
  refuse(leg_, Errc::kNoBackend);
  EXPECT_EQ(leg_.ending(), Ending::kFailed);
  EXPECT_EQ(leg_.refused(), Errc::kNoBackend);
}

TEST_F(LegCoreTest, ALostConnectionIsADeathOnlyIfTheBackendIsNotReady) {
  for (const bool is_ready : {true, false}) {
    Attempts attempts;
    LegCore leg(attempts, true);
    leg.ticket() = leg_.ticket();
    leg.begin();
    grant(leg, 0);
    ASSERT_EQ(leg.on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
    ASSERT_EQ(leg.on_looked_at(is_ready, kNow), Do::kReport);
    EXPECT_EQ(leg.report().outcome, is_ready ? Outcome::kLost : Outcome::kDied);
    EXPECT_EQ(leg.go_on(), Do::kRetry);
  }
}

TEST_F(LegCoreTest, ALookThatLastsBeyondTheDeadlineIsGivenUp) {
  start_call();
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
  ASSERT_EQ(leg_.on_looked_at(std::nullopt, kNow + 10s), Do::kReport);
  EXPECT_EQ(leg_.report().outcome, Outcome::kLost) << "nobody has seen it dead";
  EXPECT_EQ(leg_.go_on(), Do::kEnd) << "no time is left to try again";
  EXPECT_EQ(leg_.ending(), Ending::kFailed);
  EXPECT_EQ(leg_.last(), CallFailure::kNoAnswer);
}

TEST_F(LegCoreTest, ALookIsGivenUpWhenTheClientLeaves) {
  start_call();
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
  EXPECT_EQ(leg_.cancel(true), Act::kStopLooking);
  ASSERT_EQ(leg_.on_looked_at(std::nullopt, kNow), Do::kReport);
  EXPECT_EQ(leg_.go_on(), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kCancelled);
}

TEST_F(LegCoreTest, AClientThatLeavesWhileItWaitsTakesItsTicketBackTwice) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  EXPECT_EQ(leg_.cancel(true), Act::kWithdraw);
  EXPECT_EQ(leg_.cancel(true), Act::kNothing);
  EXPECT_FALSE(leg_.on_returned());
  EXPECT_EQ(refuse(leg_, Errc::kCancelled), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kCancelled);
}

TEST_F(LegCoreTest, ASilentCallThatItsClientLeftTellsOfIt) {
  start_call();
  EXPECT_EQ(leg_.cancel(true), Act::kEndCall);
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kAborted)), Do::kReport);
  EXPECT_EQ(leg_.report().outcome, Outcome::kLeft);
  EXPECT_EQ(leg_.go_on(), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kCancelled);
}

TEST_F(LegCoreTest, AFullBackendIsWaitedForAndTheTryDoesNotCount) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  EXPECT_EQ(call(leg_, 0, answer(429)), Do::kSubmit);
  EXPECT_FALSE(leg_.report().failed);
  EXPECT_EQ(attempts_.made(), 0u);
}

TEST_F(LegCoreTest, ThirdDeathAloneIsAPoison) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  for (int death = 1; death <= 3; ++death) {
    grant(leg_, 0, /*alone=*/death == 3);
    ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
    ASSERT_EQ(leg_.on_looked_at(false, kNow), Do::kReport);
    EXPECT_EQ(leg_.go_on(), death == 3 ? Do::kPoison : Do::kRetry);
    EXPECT_EQ(leg_.ticket().suspect, death >= 2);
  }
  EXPECT_EQ(leg_.ending(), Ending::kFailed);
  EXPECT_EQ(leg_.refused(), Errc::kPoisonPrompt);
}

TEST_F(LegCoreTest, WhatIsRecalledWaitsHereAgain) {
  start_call();
  EXPECT_EQ(leg_.on_recall({.backend = 0, .client = 8, .before = kNow + 1s}), Act::kNothing);
  EXPECT_EQ(leg_.on_recall({.backend = 0, .client = 7, .before = kNow + 1s}), Act::kEndCall);
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kAborted)), Do::kReport);
  EXPECT_EQ(leg_.last(), CallFailure::kRecalled);
  EXPECT_EQ(leg_.go_on(), Do::kSubmit);
}

TEST_F(LegCoreTest, AMergedCallIsNotCutShort) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  ASSERT_TRUE(leg_.on_returned());
  leg_.ticket().verdict.is_follower = true;
  ASSERT_EQ(leg_.on_verdict(), Do::kCall);
  EXPECT_EQ(leg_.cancel(true), Act::kNothing) << "others read our bytes meanwhile";
  EXPECT_EQ(leg_.on_stuck(BackendSet::first(3)), Act::kNothing);
}

TEST_F(LegCoreTest, OfAMergedCallItsMakerTellsTheMonitor) {
  ASSERT_EQ(leg_.begin(), Do::kSubmit);
  ASSERT_TRUE(leg_.on_returned());
  leg_.ticket().verdict.is_follower = true;
  leg_.on_verdict();
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kRefused)), Do::kReport);
  EXPECT_TRUE(leg_.report().failed);
  EXPECT_FALSE(leg_.report().looks_gone);
}

TEST_F(LegCoreTest, AStreamThatHasNotBegunIsAskedAnewElsewhere) {
  leg_.ticket().streaming = true;
  start_call();
  EXPECT_EQ(leg_.on_stuck(BackendSet::first(1)), Act::kNothing) << "nobody else is ready";
  EXPECT_EQ(leg_.on_stuck(BackendSet::first(2)), Act::kEndCall);
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kAborted)), Do::kReport);
  EXPECT_EQ(leg_.last(), CallFailure::kStuck);
  EXPECT_EQ(leg_.go_on(), Do::kRetry);
}

// A leg whose backend stands still, and the one beside it.
class BesideTest : public LegCoreTest {
 protected:
  BesideTest() {
    start_call();
    EXPECT_EQ(leg_.on_stuck(BackendSet::first(3)), Act::kAskBeside);
    beside_.emplace(leg_);
    EXPECT_EQ(beside_->begin(), Do::kSubmit);
  }
  std::optional<LegCore> beside_;
};

TEST_F(BesideTest, AsksElsewhereAndNeverAgainWhereItStandsStill) {
  EXPECT_FALSE(beside_->ticket().backends.contains(0));
  EXPECT_TRUE(beside_->ticket().never.contains(0));
  EXPECT_EQ(beside_->ticket().mergeable, Mergeable::kNever);
  EXPECT_EQ(leg_.on_stuck(BackendSet::first(3)), Act::kNothing) << "it has its way out";
}

TEST_F(BesideTest, RunsAloneWhenTwoEnginesHaveEndedWithTheRequestMeanwhile) {
  ASSERT_EQ(grant(*beside_, 1), Do::kCall);
  ASSERT_EQ(beside_->on_stuck(BackendSet::first(3)), Act::kAskBeside);
  LegCore second(*beside_);
  ASSERT_EQ(second.begin(), Do::kSubmit);
  EXPECT_FALSE(second.ticket().suspect);
  for (LegCore* leg : {&leg_, &*beside_}) {
    ASSERT_EQ(leg->on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
    ASSERT_EQ(leg->on_looked_at(false, kNow), Do::kReport);
  }
  EXPECT_TRUE(LegCore(second).ticket().suspect);
}

TEST_F(BesideTest, TheFirstAnswerCountsAndTheOtherCallIsEnded) {
  ASSERT_EQ(call(*beside_, 1, answer(200)), Do::kEnd);
  EXPECT_EQ(leg_.on_beside_ended(), Act::kEndCall);
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kAborted)), Do::kReport);
  EXPECT_FALSE(leg_.report().looks_gone) << "we have ended it ourselves";
  ASSERT_EQ(leg_.go_on(), Do::kJoin);
  EXPECT_EQ(leg_.on_joined(), Do::kEnd);
  EXPECT_TRUE(leg_.beside_counts());
  EXPECT_EQ(leg_.ending(), Ending::kAnswer);
}

TEST_F(BesideTest, TheStalledBackendMayAnswerFirst) {
  ASSERT_EQ(leg_.on_call_ended(answer(200)), Do::kReport);
  ASSERT_EQ(leg_.go_on(), Do::kEndBeside);
  EXPECT_EQ(beside_->cancel(false), Act::kWithdraw);
  EXPECT_FALSE(beside_->on_returned());
  EXPECT_EQ(refuse(*beside_, Errc::kCancelled), Do::kEnd);
  EXPECT_EQ(leg_.on_beside_ended(), Act::kNothing);
  EXPECT_EQ(leg_.on_joined(), Do::kEnd);
  EXPECT_FALSE(leg_.beside_counts());
  EXPECT_EQ(leg_.status(), 200u);
}

TEST_F(BesideTest, WithoutAnAnswerElsewhereTheCallUnderWayGoesOn) {
  EXPECT_EQ(refuse(*beside_, Errc::kNoBackend), Do::kEnd);
  EXPECT_EQ(leg_.on_beside_ended(), Act::kNothing);
  ASSERT_EQ(leg_.on_call_ended(answer(200)), Do::kReport);
  ASSERT_EQ(leg_.go_on(), Do::kEndBeside);
  EXPECT_EQ(leg_.on_joined(), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kAnswer);
}

TEST_F(BesideTest, WhatEndsEnginesIsNotLeftWithTwo) {
  ASSERT_EQ(grant(*beside_, 1), Do::kCall);
  ASSERT_EQ(beside_->on_call_ended(failure(CallFailure::kNoAnswer)), Do::kLookAt);
  ASSERT_EQ(beside_->on_looked_at(false, kNow), Do::kReport);
  EXPECT_TRUE(beside_->report().ends_before);
  EXPECT_EQ(leg_.yield(), Act::kEndCall);
}

TEST_F(BesideTest, AClientThatLeavesEndsBoth) {
  EXPECT_EQ(leg_.cancel(true), Act::kEndCall);
  EXPECT_EQ(beside_->cancel(false), Act::kWithdraw);
  ASSERT_EQ(leg_.on_call_ended(failure(CallFailure::kAborted)), Do::kReport);
  ASSERT_EQ(leg_.go_on(), Do::kEndBeside);
  EXPECT_FALSE(beside_->on_returned());
  refuse(*beside_, Errc::kCancelled);
  EXPECT_EQ(leg_.on_joined(), Do::kEnd);
  EXPECT_EQ(leg_.ending(), Ending::kCancelled);
}

TEST_F(BesideTest, TheAnswerOfAThirdLegCountsForAll) {
  ASSERT_EQ(grant(*beside_, 1), Do::kCall);
  ASSERT_EQ(beside_->on_stuck(BackendSet::first(3)), Act::kAskBeside);
  LegCore third(*beside_);
  ASSERT_EQ(third.begin(), Do::kSubmit);
  ASSERT_EQ(call(third, 2, answer(200)), Do::kEnd);
  EXPECT_EQ(beside_->on_beside_ended(), Act::kEndCall);
  beside_->on_call_ended(failure(CallFailure::kAborted));
  ASSERT_EQ(beside_->go_on(), Do::kJoin);
  ASSERT_EQ(beside_->on_joined(), Do::kEnd);
  EXPECT_EQ(leg_.on_beside_ended(), Act::kEndCall) << "the first call would be waited for in vain";
}

TEST_F(BesideTest, AsksNobodyAgainOnceTheLegsBesideItHaveUsedUpTheTries) {
  leg_.on_call_ended(failure(CallFailure::kCutAnswer));
  ASSERT_EQ(leg_.on_looked_at(true, kNow), Do::kReport);
  ASSERT_EQ(leg_.go_on(), Do::kJoin) << "there are tries left, but another leg is under way";
  ASSERT_EQ(grant(*beside_, 1), Do::kCall);
  beside_->on_call_ended(failure(CallFailure::kCutAnswer));
  ASSERT_EQ(beside_->on_looked_at(true, kNow), Do::kReport);
  ASSERT_EQ(beside_->go_on(), Do::kRetry);
  ASSERT_EQ(grant(*beside_, 2), Do::kCall);
  beside_->on_call_ended(failure(CallFailure::kCutAnswer));
  ASSERT_EQ(beside_->on_looked_at(true, kNow), Do::kReport);
  ASSERT_EQ(beside_->go_on(), Do::kRetry);
  ASSERT_TRUE(beside_->ticket().suspect) << "lost each time: one more, alone";
  ASSERT_EQ(grant(*beside_, 0), Do::kCall);
  beside_->on_call_ended(failure(CallFailure::kCutAnswer));
  ASSERT_EQ(beside_->on_looked_at(true, kNow), Do::kReport);
  ASSERT_EQ(beside_->go_on(), Do::kEnd);
  EXPECT_EQ(leg_.on_joined(), Do::kEnd) << "it would be the fifth try";
  EXPECT_EQ(leg_.ending(), Ending::kFailed);
}

TEST_F(BesideTest, ARecallLeavesOutWhoeverIsAskedElsewhereAlready) {
  EXPECT_EQ(leg_.on_recall({.backend = 0, .client = 7, .before = kNow + 1s}), Act::kNothing);
}

}  // namespace
}  // namespace batchproxy
