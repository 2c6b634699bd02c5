// tests/batcher/scheduler_outage_test.cc - what the Scheduler does while backends are down, broken
// or resting, and when they come back, in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/outage_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SchedulerOutage : public OutageFixture {};

// --- nothing is up ------------------------------------------------------------------------------

TEST_F(SchedulerOutage, HoldsWhatComesWhileNothingIsUpAndServesItInOrderWhenSomethingIs) {
  for (const auto policy : {FlushPolicy::kEager, FlushPolicy::kFixed, FlushPolicy::kOff}) {
    start(2, with(policy));
    set_up(0, false, 0s);
    set_up(1, false, 0s);
    Ticket& first = submit(1s);
    Ticket& second = submit(2s);
    Ticket& third = submit(3s);
    EXPECT_THAT(take(60s), IsEmpty());
    EXPECT_EQ(scheduler_->queued(), 3u);
    EXPECT_THAT(set_up(1, true, 61s), ElementsAre(&first, &second, &third));
    for (const Ticket* each : {&first, &second, &third}) {
      EXPECT_FALSE(each->verdict.refused);
      EXPECT_EQ(each->verdict.backend, 1u);
    }
  }
}

TEST_F(SchedulerOutage, RefusesWhatWasHeldExactlyAtHoldTimeout) {
  start(1, with_hold(110s));
  set_up(0, false, 0s);
  Ticket& held = submit(5s);
  EXPECT_THAT(take(5s), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(115s));
  EXPECT_THAT(take(114999ms), IsEmpty());
  EXPECT_THAT(take(115s), ElementsAre(&held));
  EXPECT_EQ(held.verdict.refused, Errc::kNoBackend);
  EXPECT_EQ(scheduler_->next_due(), std::nullopt);
}

TEST_F(SchedulerOutage, CountsTheHoldFromTheOutageForWhatCameBefore) {
  start(1, with_hold(10s), /*room=*/1);
  submit_many(2, 0s);
  take(0s);
  take(600ms);  // both places of max_inflight are taken
  Ticket& early = submit(1s);
  Ticket& late = submit(52s);
  take(50s);
  set_up(0, false, 50s);
  EXPECT_EQ(scheduler_->next_due(), at(60s));
  EXPECT_THAT(take(59999ms), IsEmpty());
  EXPECT_THAT(take(60s), ElementsAre(&early));
  EXPECT_EQ(scheduler_->next_due(), at(62s));
  EXPECT_THAT(take(62s), ElementsAre(&late));
  EXPECT_EQ(late.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerOutage, CountsAnewInTheNextOutage) {
  start(1, with_hold(10s), /*room=*/1);
  set_up(0, false, 0s);
  submit_many(3, 0s);
  take(0s);
  ASSERT_EQ(set_up(0, true, 9s).size(), 2u);
  set_up(0, false, 9500ms);
  EXPECT_THAT(take(19s), IsEmpty());
  EXPECT_EQ(take(19500ms).size(), 1u);
}

TEST_F(SchedulerOutage, AnswersAtOnceWhenNothingShallBeHeld) {
  start(1, with_hold(0s));
  set_up(0, false, 0s);
  Ticket& refused = submit(1s);
  EXPECT_THAT(take(1s), ElementsAre(&refused));
  EXPECT_EQ(refused.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerOutage, SaysNoBackendAlsoWhenTheDeadlineComesFirst) {
  start(1, with_hold(110s));
  set_up(0, false, 0s);
  Ticket& hurried = ticket(0s);
  hurried.deadline = at(3s);
  scheduler_->submit(hurried);
  take(0s);
  EXPECT_EQ(scheduler_->next_due(), at(3s));
  EXPECT_THAT(take(3s), ElementsAre(&hurried));
  EXPECT_EQ(hurried.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerOutage, HoldsOnlyWhatNobodyElseServes) {
  start(2, with_hold(10s));
  set_up(0, false, 0s);
  Ticket& held = submit(0s, only({0}));
  Ticket& served = submit(0s);
  EXPECT_THAT(take(0s), ElementsAre(&served));
  EXPECT_EQ(served.verdict.backend, 1u);
  EXPECT_THAT(wait(0s, 10s), ElementsAre(&held));
  EXPECT_EQ(woken_, 10s);
}

TEST_F(SchedulerOutage, HoldsUnderTheRulesOfTheDay) {
  start(1, with_hold(110s));
  set_up(0, false, 0s);
  Ticket& held = submit(0s);
  take(0s);
  scheduler_->set_options(with_hold(20s));
  EXPECT_THAT(take(1s), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(20s));
  EXPECT_THAT(take(20s), ElementsAre(&held));
}

// --- slow start ---------------------------------------------------------------------------------

TEST_F(SchedulerOutage, GivesABackendOneBatchAfterAnOutageThenTwoThenFour) {
  start(1, usual(), /*room=*/12);  // at most 24
  set_up(0, false, 0s);
  submit_many(60, 0s);
  EXPECT_EQ(set_up(0, true, 1s).size(), 4u);
  EXPECT_EQ(scheduler_->max_inflight(0), 4u);
  EXPECT_THAT(take(1999ms), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(2s));
  EXPECT_EQ(take(2s).size(), 4u);  // 8 in flight
  EXPECT_EQ(scheduler_->next_due(), at(3s));
  EXPECT_EQ(take(3s).size(), 8u);  // 16: overdue, so beyond the room
  EXPECT_EQ(scheduler_->max_inflight(0), 16u);
  EXPECT_EQ(take(4s).size(), 8u);
  EXPECT_EQ(scheduler_->max_inflight(0), 24u);
  EXPECT_EQ(scheduler_->next_due(), at(600s)) << "that is no limit any more";
}

TEST_F(SchedulerOutage, DoesNotTakeASlowStartForALackOfRoom) {
  start(1, usual(), /*room=*/100);
  set_up(0, false, 0s);
  submit_many(60, 0s);
  ASSERT_EQ(set_up(0, true, 1s).size(), 4u);
  for (int look = 0; look < 3; ++look) {
    scheduler_->observe(0, EngineSample{.running = 4}, at(1100ms));
    take(1100ms);
  }
  EXPECT_EQ(scheduler_->room(0), 100u);
}

TEST_F(SchedulerOutage, ReplacesDuringASlowStartOnlyWhatIsAnswered) {
  for (const auto policy : {FlushPolicy::kEager, FlushPolicy::kFixed, FlushPolicy::kOff}) {
    start(1, with(policy));
    set_up(0, false, 0s);
    submit_many(40, 0s);
    const auto first = set_up(0, true, 1s);
    ASSERT_EQ(first.size(), 4u);
    complete(*first[0], Outcome::kGood, 1s);
    complete(*first[1], Outcome::kGood, 1s);
    take(1s);
    EXPECT_LE(scheduler_->inflight(0), policy == FlushPolicy::kFixed ? 6u : 4u);
  }
}

TEST_F(SchedulerOutage, StartsABackendSlowlyAlsoWhenOthersServedMeanwhile) {
  start(2, usual(), /*room=*/100);
  set_up(0, false, 0s);
  set_up(0, true, 1s);
  submit_many(100, 1s);
  take(1s);
  EXPECT_EQ(scheduler_->inflight(0), 4u);
  EXPECT_EQ(scheduler_->inflight(1), 96u);
}

TEST_F(SchedulerOutage, StartsAtFullSpeedWhenNobodyWaits) {
  start(1);
  take(0s);
  submit_many(50, 0s);
  EXPECT_EQ(take(0s).size(), 50u);
}

TEST_F(SchedulerOutage, StartsSlowlyTheFirstTimeIfRequestsHaveWaitedForIt) {
  scheduler_.emplace(usual());
  scheduler_->add_backend(0, {.max_num_seqs = 100});
  all_ = BackendSet::first(1);
  submit_many(50, 0s);
  take(0s);
  EXPECT_EQ(set_up(0, true, 1s).size(), 4u);
}

// --- breaker ------------------------------------------------------------------------------------

TEST_F(SchedulerOutage, GivesNothingToABackendWhoseBreakerIsOpen) {
  for (const auto policy : {FlushPolicy::kEager, FlushPolicy::kFixed, FlushPolicy::kOff}) {
    start(1, with(policy));
    SCOPED_TRACE(static_cast<int>(policy));
    submit_many(4, 0s);
    complete_all(take(0s), Outcome::kDied, 0s);
    EXPECT_TRUE(scheduler_->breaker_open(0));
    submit_many(8, 0s);
    EXPECT_THAT(wait(0s, 999ms), IsEmpty());
    EXPECT_EQ(scheduler_->max_inflight(0), 0u);
  }
}

TEST_F(SchedulerOutage, ProbesAHalfOpenBackendWithOneRequestAndStartsSlowlyWhenThatIsAnswered) {
  for (const auto policy : {FlushPolicy::kEager, FlushPolicy::kOff}) {
    start(1, with(policy));
    SCOPED_TRACE(static_cast<int>(policy));
    trip(0s);
    submit_many(20, 0s);
    const auto probe = wait(0s, 1s);  // no other backend is up: then a second is enough
    EXPECT_EQ(woken_, 1s);
    ASSERT_EQ(probe.size(), 1u);
    EXPECT_THAT(wait(1s, 5999ms), IsEmpty());
    complete(*probe[0], Outcome::kGood, 6s);
    EXPECT_EQ(take(6s).size(), 4u);
    EXPECT_FALSE(scheduler_->breaker_open(0));
  }
}

TEST_F(SchedulerOutage, ProbesEverySecondWhileNoOtherBackendIsUp) {
  start(1);
  trip(0s);
  submit_many(20, 0s);
  const auto probe = wait(0s, 1s);
  ASSERT_EQ(probe.size(), 1u);
  complete(*probe[0], Outcome::kLost, 2s);
  EXPECT_THAT(wait(2s, 2999ms), IsEmpty());
  EXPECT_EQ(wait(2s, 3s).size(), 1u);
}

TEST_F(SchedulerOutage, TrustsAProbeThatHasLastedFiveSeconds) {
  start(1);
  trip(0s);
  submit_many(20, 0s);
  ASSERT_EQ(wait(0s, 1s).size(), 1u);
  EXPECT_EQ(wait(1s, 6s).size(), 3u);  // with the probe, one batch
  EXPECT_EQ(woken_, 6s);
}

TEST_F(SchedulerOutage, ProbesAgainWhenTheProbeWasCalledOff) {
  start(1);
  trip(0s);
  submit_many(20, 0s);
  const auto probe = wait(0s, 5s);
  ASSERT_EQ(probe.size(), 1u);
  complete(*probe[0], Outcome::kUnknown, 6s);
  EXPECT_EQ(take(6s).size(), 1u);
}

TEST_F(SchedulerOutage, DoesNotWaitOutThePauseOfABackendThatComesUpAgain) {
  start(1);
  trip(0s);
  submit_many(20, 0s);
  set_up(0, false, 1s);
  EXPECT_EQ(set_up(0, true, 2s).size(), 1u);
}

TEST_F(SchedulerOutage, HoldsWhileEveryBreakerIsOpenAndNoLonger) {
  start(1, with_hold(500ms));
  trip(0s);
  Ticket& held = submit(100ms);
  EXPECT_THAT(wait(100ms, 10s), ElementsAre(&held));
  EXPECT_EQ(woken_, 600ms);
  EXPECT_EQ(held.verdict.refused, Errc::kQueueTimeout);
}

TEST_F(SchedulerOutage, GoesAroundABackendWhoseBreakerIsOpen) {
  start(2);
  for (int i = 0; i < 3; ++i) submit(0s, only({0}));
  complete_all(take(0s), Outcome::kDied, 0s);
  submit_many(10, 0s);
  EXPECT_EQ(take(0s).size(), 10u);
  EXPECT_EQ(scheduler_->inflight(1), 10u);
}

TEST_F(SchedulerOutage, TakesTheFailureOfASharedCallForOne) {
  start(1);
  submit_many(4, 0s);
  auto granted = take(0s);
  ASSERT_EQ(granted.size(), 4u);
  for (std::size_t i = 1; i < granted.size(); ++i) granted[i]->verdict.is_follower = true;
  complete_all(granted, Outcome::kLost, 0s);
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

TEST_F(SchedulerOutage, IgnoresWhatTheServerBeforeTheLastRestartDid) {
  start(1);
  submit_many(4, 0s);
  const auto old = take(0s);
  set_up(0, false, 1s);
  set_up(0, true, 2s);
  complete_all(old, Outcome::kLost, 3s);
  EXPECT_FALSE(scheduler_->breaker_open(0));
  EXPECT_EQ(scheduler_->inflight(0), 0u);
}

// --- a backend asks to be left alone ------------------------------------------------------------

TEST_F(SchedulerOutage, LeavesABackendAloneForAsLongAsItAsks) {
  start(1, with_hold(1s));
  Ticket& busy = submit(0s);
  take(0s);
  scheduler_->complete(busy.verdict, 1, Outcome::kRejected, at(1s), 7s);
  Ticket& waits = submit(2s);
  EXPECT_EQ(scheduler_->max_inflight(0), 100u * 2) << "not looked at yet";
  EXPECT_THAT(wait(2s, 7999ms), IsEmpty()) << "it is up: hold_timeout does not count";
  EXPECT_THAT(wait(2s, 8s), ElementsAre(&waits));
  EXPECT_EQ(woken_, 8s);
  EXPECT_FALSE(waits.verdict.refused);
}

TEST_F(SchedulerOutage, LeavesABackendAloneForHalfAMinuteAtMost) {
  start(1);
  Ticket& busy = submit(0s);
  take(0s);
  scheduler_->complete(busy.verdict, 1, Outcome::kRejected, at(0s), 1h);
  Ticket& waits = submit(1s);
  EXPECT_THAT(wait(1s, 29999ms), IsEmpty());
  EXPECT_THAT(wait(1s, 30s), ElementsAre(&waits));
}

TEST_F(SchedulerOutage, KeepsToTheLongestPauseThatItWasAskedFor) {
  start(1);
  submit_many(2, 0s);
  const auto busy = take(0s);
  ASSERT_EQ(busy.size(), 2u);
  scheduler_->complete(busy[0]->verdict, 1, Outcome::kRejected, at(0s), 9s);
  scheduler_->complete(busy[1]->verdict, 1, Outcome::kRejected, at(0s), 2s);
  submit(0s);
  EXPECT_THAT(wait(0s, 8999ms), IsEmpty());
  EXPECT_EQ(wait(0s, 9s).size(), 1u);
}

TEST_F(SchedulerOutage, AsksAnotherWhileOneRests) {
  start(2);
  Ticket& busy = submit(0s, only({0}));
  take(0s);
  scheduler_->complete(busy.verdict, 1, Outcome::kRejected, at(0s), 9s);
  submit_many(6, 0s);
  EXPECT_EQ(take(0s).size(), 6u);
  EXPECT_EQ(scheduler_->inflight(1), 6u);
}

}  // namespace
}  // namespace batchproxy
