// tests/batcher/scheduler_outage_test.cc - what the Scheduler does while backends are down, broken,
// resting or reserved, and what becomes of tickets that come back, in virtual time.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

BackendSet only(std::initializer_list<BackendId> ids) {
  BackendSet set;
  for (const BackendId id : ids) set.insert(id);
  return set;
}

class SchedulerOutage : public SchedulerFixture {
 protected:
  void start(std::uint32_t backends = 1, const SchedulerOptions& options = usual(),
             std::uint32_t room = 100) {
    SchedulerFixture::start(options, backends, {.max_num_seqs = room});
  }
  static SchedulerOptions usual() { return {.batch_size = 4, .max_queue = 1000}; }
  static SchedulerOptions with_hold(Duration hold) {
    SchedulerOptions options = usual();
    options.hold_timeout = hold;
    return options;
  }
  static SchedulerOptions with(FlushPolicy policy) {
    SchedulerOptions options = usual();
    options.policy = policy;
    return options;
  }

  Ticket& submit(Duration arrival, BackendSet backends = BackendSet::first(64)) {
    Ticket& made = ticket(arrival);
    made.backends = all_ & backends;
    scheduler_->submit(made);
    return made;
  }
  Ticket& submit_suspect(Duration arrival, BackendSet backends = BackendSet::first(64),
                         BackendSet avoid = {}) {
    Ticket& made = ticket(arrival);
    made.backends = all_ & backends;
    made.avoid = avoid;
    made.suspect = true;
    scheduler_->submit(made);
    return made;
  }
  void submit_many(int count, Duration arrival) {
    for (int i = 0; i < count; ++i) submit(arrival);
  }
  // Tells that it is down, or up again, as the lane does.
  std::vector<Ticket*> set_up(BackendId id, bool up, Duration now) {
    scheduler_->set_up(id, up);
    return take(now);
  }
  void complete_all(const std::vector<Ticket*>& done, Outcome outcome, Duration now) {
    for (const Ticket* each : done) complete(*each, outcome, now);
  }
  // Lets the breaker of `id`, the only backend that is up, open.
  void trip(Duration now) {
    for (int i = 0; i < Breaker::kLosses; ++i) submit(now);
    complete_all(take(now), Outcome::kLost, now);
    take(now);
  }
  // Waits as the lane does, from one due time to the next, until something is decided. A due time
  // at which nothing happens must not be due again.
  std::vector<Ticket*> wait(Duration from, Duration until) {
    Duration now = from;
    for (int idle = 0;; ++idle) {
      EXPECT_LT(idle, 100) << "the lane would spin";
      auto decided = take(now);
      woken_ = now;
      const auto due = scheduler_->next_due();
      if (!decided.empty() || idle >= 100 || !due || *due > at(until)) return decided;
      if (*due > at(now)) now = *due - at(0s);
    }
  }

  Duration woken_{};  // when wait() looked last
};

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
  scheduler_->set_backend(0, {.max_num_seqs = 100});
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
    complete_all(take(0s), Outcome::kLost, 0s);
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
  EXPECT_EQ(held.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerOutage, GoesAroundABackendWhoseBreakerIsOpen) {
  start(2);
  for (int i = 0; i < 3; ++i) submit(0s, only({0}));
  complete_all(take(0s), Outcome::kLost, 0s);
  submit_many(10, 0s);
  EXPECT_EQ(take(0s).size(), 10u);
  EXPECT_EQ(scheduler_->inflight(1), 10u);
}

TEST_F(SchedulerOutage, TakesTheFailureOfASharedCallForOne) {
  start(1);
  submit_many(4, 0s);
  auto granted = take(0s);
  ASSERT_EQ(granted.size(), 4u);
  for (std::size_t i = 1; i < granted.size(); ++i) granted[i]->verdict.is_mate = true;
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

// --- tickets that come back ---------------------------------------------------------------------

TEST_F(SchedulerOutage, GivesARetryItsOldPlaceAmongItsClientsAndOthers) {
  start(1, usual(), /*room=*/1);
  Ticket& retried = submit(0s);
  take(0s);
  Ticket& other = ticket(1ms);
  other.client = 7;
  scheduler_->submit(other);
  submit(1ms);
  complete(retried, Outcome::kLost, 2ms);
  scheduler_->submit(retried);
  EXPECT_THAT(take(2ms), ElementsAre(&retried));
}

TEST_F(SchedulerOutage, LetsARetryIntoAFullQueue) {
  SchedulerOptions options = usual();
  options.max_queue = 2;
  start(1, options, /*room=*/1);
  Ticket& retried = submit(0ms);
  take(0ms);
  submit(1ms), submit(1ms);
  complete(retried, Outcome::kLost, 2ms);
  scheduler_->submit(retried);
  Ticket& fresh = submit(2ms);
  EXPECT_THAT(take(2ms), ElementsAre(&fresh, &retried));
  EXPECT_EQ(fresh.verdict.refused, Errc::kQueueFull);
  EXPECT_FALSE(retried.verdict.refused);
}

TEST_F(SchedulerOutage, RefusesARetryThatTheBudgetDoesNotAllow) {
  start(1);
  take(0s);
  for (int i = 0; i < 101; ++i) {
    Ticket& retry = ticket(0s);
    retry.costs_budget = true;
    scheduler_->submit(retry);
  }
  Ticket& free = submit(0s);
  take(0s);
  EXPECT_FALSE(tickets_[99].verdict.refused);
  EXPECT_EQ(tickets_[100].verdict.refused, Errc::kRetryBudget);
  EXPECT_FALSE(free.verdict.refused);
}

TEST_F(SchedulerOutage, AllowsMoreRetriesWhenTheBackendsDoWell) {
  start(1, usual(), /*room=*/1000);
  submit_many(5, 0s);
  complete_all(take(0s), Outcome::kGood, 0s);
  for (int i = 0; i < 102; ++i) {
    Ticket& retry = ticket(0s);
    retry.costs_budget = true;
    scheduler_->submit(retry);
  }
  take(0s);
  EXPECT_FALSE(tickets_[105].verdict.refused);
  EXPECT_EQ(tickets_[106].verdict.refused, Errc::kRetryBudget);
}

TEST_F(SchedulerOutage, DoesNotTellARetrysOldRefusalAgain) {
  start(1);
  Ticket& retried = submit(0s);
  take(0s);
  retried.verdict.refused = Errc::kQueueFull;
  complete(retried);
  scheduler_->submit(retried);
  EXPECT_THAT(take(1s), ElementsAre(&retried));
  EXPECT_FALSE(retried.verdict.refused);
}

TEST_F(SchedulerOutage, SendsARetryToAnotherBackendWhileOneIsUpHoweverBusy) {
  start(2, usual(), /*room=*/1);
  submit(0s, only({1}));
  take(0s);
  Ticket& retry = ticket(0s);
  retry.avoid = only({0});
  scheduler_->submit(retry);
  EXPECT_THAT(take(100ms), IsEmpty());
  EXPECT_THAT(take(500ms), ElementsAre(&retry));
  EXPECT_EQ(retry.verdict.backend, 1u);
}

TEST_F(SchedulerOutage, SendsARetryToWhoHasFailedItWhenNobodyElseIsUp) {
  start(2);
  set_up(1, false, 0s);
  Ticket& retry = ticket(0s);
  retry.avoid = only({0});
  scheduler_->submit(retry);
  EXPECT_THAT(take(0s), ElementsAre(&retry));
  EXPECT_EQ(retry.verdict.backend, 0u);
}

TEST_F(SchedulerOutage, SendsARetryToWhoHasFailedItWhenTheOthersGoDownWhileItWaits) {
  for (const bool suspect : {false, true}) {
    SCOPED_TRACE(suspect);
    start(2, usual(), /*room=*/1);
    submit(0s, only({1}));
    take(0s);
    Ticket& retry = ticket(0s);
    retry.avoid = only({0});
    retry.suspect = suspect;
    scheduler_->submit(retry);
    ASSERT_THAT(take(0s), IsEmpty());
    EXPECT_THAT(set_up(1, false, 1s), ElementsAre(&retry));
    EXPECT_EQ(retry.verdict.backend, 0u);
    EXPECT_EQ(retry.verdict.alone, suspect);
  }
}

TEST_F(SchedulerOutage, KeepsToBothAfterwardsWhenTheOthersWentDownWhileARetryWaited) {
  start(2, with_hold(10s));
  set_up(0, false, 0s);
  Ticket& retry = ticket(0s);
  retry.avoid = only({0});
  scheduler_->set_up(1, false);
  scheduler_->submit(retry);
  ASSERT_THAT(take(0s), IsEmpty());
  EXPECT_THAT(set_up(0, true, 1s), ElementsAre(&retry));
}

// --- suspects -----------------------------------------------------------------------------------

TEST_F(SchedulerOutage, RunsASuspectWithNothingElseOnItsBackend) {
  for (const auto policy : {FlushPolicy::kEager, FlushPolicy::kFixed, FlushPolicy::kOff}) {
    SCOPED_TRACE(static_cast<int>(policy));
    start(1, with(policy));
    submit_many(4, 0s);
    const auto before = take(0s);
    ASSERT_EQ(before.size(), 4u);
    Ticket& suspect = submit_suspect(0s);
    submit_many(4, 0s);
    EXPECT_THAT(take(1s), IsEmpty()) << "it waits until the backend is empty";
    complete(*before[0]), complete(*before[1]), complete(*before[2]);
    EXPECT_THAT(take(1s), IsEmpty());
    complete(*before[3]);
    EXPECT_THAT(take(1s), ElementsAre(&suspect));
    EXPECT_TRUE(suspect.verdict.alone);
    EXPECT_EQ(suspect.verdict.batch.prompts, 1u);
    EXPECT_THAT(take(10s), IsEmpty()) << "the others wait until it is done";
    complete(suspect, Outcome::kGood, 11s);
    EXPECT_EQ(take(11s).size(), 4u);
  }
}

TEST_F(SchedulerOutage, ServesTheOthersElsewhereWhileASuspectRuns) {
  start(2);
  Ticket& suspect = submit_suspect(0s);
  submit_many(10, 0s);
  EXPECT_EQ(take(0s).size(), 11u);
  EXPECT_EQ(scheduler_->inflight(suspect.verdict.backend), 1u);
  EXPECT_EQ(scheduler_->inflight(1 - suspect.verdict.backend), 10u);
}

TEST_F(SchedulerOutage, RunsOneSuspectAtATime) {
  start(3);
  Ticket& first = submit_suspect(0s);
  Ticket& second = submit_suspect(1s);
  EXPECT_THAT(take(1s), ElementsAre(&first));
  EXPECT_THAT(take(2s), IsEmpty());
  complete(first, Outcome::kGood, 3s);
  EXPECT_THAT(take(3s), ElementsAre(&second));
  complete(second, Outcome::kGood, 4s);
  submit_many(30, 4s);
  EXPECT_EQ(take(4s).size(), 30u);
  for (BackendId id = 0; id < 3; ++id) EXPECT_EQ(scheduler_->inflight(id), 10u);
}

TEST_F(SchedulerOutage, LetsTheOthersHaveTheirTurnBetweenSuspectsWhenThereIsOneBackend) {
  start(1);
  Ticket& first = submit_suspect(0s);
  Ticket& second = submit_suspect(0s);
  Ticket& other = submit(0s);
  ASSERT_THAT(take(0s), ElementsAre(&first));
  complete(first, Outcome::kGood, 1s);
  EXPECT_THAT(take(1s), ElementsAre(&other));
  submit(1s);
  EXPECT_THAT(take(1s), IsEmpty()) << "but the next suspect has its turn as well";
  complete(other, Outcome::kGood, 2s);
  EXPECT_THAT(take(2s), ElementsAre(&second));
}

TEST_F(SchedulerOutage, GivesTheBackendBackWhenASuspectIsCancelled) {
  start(1);
  submit_many(2, 0s);
  take(0s);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  Ticket& waits = submit(0s);
  EXPECT_THAT(take(0s), IsEmpty());
  EXPECT_TRUE(scheduler_->cancel(suspect));
  EXPECT_FALSE(scheduler_->cancel(suspect));
  EXPECT_THAT(take(1s), ElementsAre(&waits));
}

TEST_F(SchedulerOutage, GivesTheBackendBackWhenASuspectHasWaitedTooLong) {
  start(1);
  submit_many(2, 0s);
  take(0s);
  Ticket& suspect = ticket(0s);
  suspect.suspect = true;
  suspect.deadline = at(5s);
  scheduler_->submit(suspect);
  take(0s);
  Ticket& waits = submit(0s);
  EXPECT_THAT(wait(0s, 5s), ElementsAre(&suspect));
  EXPECT_EQ(suspect.verdict.refused, Errc::kQueueTimeout);
  EXPECT_THAT(wait(5s, 5s), ElementsAre(&waits));
}

TEST_F(SchedulerOutage, ReservesAnotherBackendWhenTheFirstGoesDown) {
  start(2);
  const auto before = [this] {
    submit_many(2, 0s);
    return take(0s);
  }();
  ASSERT_EQ(before.size(), 2u);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  const BackendId reserved = scheduler_->max_inflight(0) == 0 ? 0 : 1;
  EXPECT_THAT(set_up(reserved, false, 1s), IsEmpty());
  complete_all(before, Outcome::kLost, 1s);
  EXPECT_THAT(take(1s), ElementsAre(&suspect));
  EXPECT_EQ(suspect.verdict.backend, 1 - reserved);
  complete(suspect, Outcome::kGood, 2s);
  set_up(reserved, true, 2s);
  submit_many(2, 2s);
  EXPECT_EQ(take(2s).size(), 2u);
  EXPECT_EQ(scheduler_->inflight(reserved), 1u) << "nobody has it any more";
}

TEST_F(SchedulerOutage, ServesOthersWhileASuspectsBackendIsDownUnderIt) {
  start(2);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  const BackendId reserved = suspect.verdict.backend;
  set_up(reserved, false, 1s);
  complete(suspect, Outcome::kLost, 1s);
  set_up(reserved, true, 2s);
  submit_many(2, 2s);
  EXPECT_EQ(take(2s).size(), 2u);
  EXPECT_EQ(scheduler_->inflight(reserved), 1u);
}

TEST_F(SchedulerOutage, DoesNotGiveASuspectABackendWhoseBreakerHasOpenedMeanwhile) {
  start(1);
  submit_many(3, 0s);
  const auto before = take(0s);
  ASSERT_EQ(before.size(), 3u);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  complete_all(before, Outcome::kLost, 0s);
  EXPECT_THAT(wait(0s, 999ms), IsEmpty());
  EXPECT_THAT(wait(0s, 1s), ElementsAre(&suspect)) << "as its probe";
}

TEST_F(SchedulerOutage, DoesNotGiveASuspectABackendThatHasAskedForAPauseMeanwhile) {
  start(1);
  Ticket& before = submit(0s);
  take(0s);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  scheduler_->complete(before.verdict, 1, Outcome::kRejected, at(0s), 9s);
  EXPECT_THAT(wait(0s, 8999ms), IsEmpty());
  EXPECT_THAT(wait(0s, 9s), ElementsAre(&suspect));
}

TEST_F(SchedulerOutage, LetsASuspectPassThatCanBeServedWhileAnEarlierOneCannot) {
  start(2);
  set_up(0, false, 0s);
  submit_suspect(0s, only({0}));
  Ticket& served = submit_suspect(1s, only({1}));
  EXPECT_THAT(take(1s), ElementsAre(&served));
}

TEST_F(SchedulerOutage, HoldsASuspectLikeAnyOther) {
  start(1, with_hold(10s));
  set_up(0, false, 0s);
  Ticket& suspect = submit_suspect(1s);
  EXPECT_THAT(wait(1s, 11s), ElementsAre(&suspect));
  EXPECT_EQ(woken_, 11s);
  EXPECT_EQ(suspect.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerOutage, ServesAHeldSuspectWhenABackendComesUp) {
  start(1, with_hold(10s));
  set_up(0, false, 0s);
  Ticket& suspect = submit_suspect(1s);
  take(1s);
  Ticket& other = submit(1s);
  take(1s);
  EXPECT_THAT(set_up(0, true, 2s), ElementsAre(&suspect));
  complete(suspect, Outcome::kGood, 3s);
  EXPECT_THAT(take(3s), ElementsAre(&other));
}

// --- other backends -----------------------------------------------------------------------------

class Reroute : public SchedulerOutage {
 protected:
  void reroute(bool complete = true) {
    scheduler_->reroute([this](std::uint64_t model) { return routes_[model]; }, complete);
  }
  Ticket& submit_for(std::uint64_t model, Duration arrival, bool suspect = false) {
    Ticket& made = ticket(arrival);
    made.model = model;
    made.backends = routes_[model];
    made.suspect = suspect;
    scheduler_->submit(made);
    return made;
  }
  std::map<std::uint64_t, BackendSet> routes_;
};

TEST_F(Reroute, MovesWhatWaitsToABackendThatIsNew) {
  for (const bool suspect : {false, true}) {
    start(2);
    set_up(0, false, 0s);
    routes_[5] = only({0});
    Ticket& waits = submit_for(5, 0s, suspect);
    ASSERT_THAT(take(0s), IsEmpty());
    routes_[5] = only({0, 1});
    reroute();
    EXPECT_THAT(take(1s), ElementsAre(&waits));
    EXPECT_EQ(waits.verdict.backend, 1u);
  }
}

TEST_F(Reroute, KeepsTheOrderAndWhatIsUnchanged) {
  start(2);
  set_up(0, false, 0s);
  set_up(1, false, 0s);
  routes_[5] = only({0});
  routes_[6] = only({1});
  Ticket& first = submit_for(5, 0s);
  Ticket& second = submit_for(6, 1s);
  Ticket& third = submit_for(5, 2s);
  take(2s);
  routes_[5] = only({1});
  reroute();
  EXPECT_EQ(scheduler_->queued(), 3u);
  EXPECT_THAT(set_up(1, true, 3s), ElementsAre(&first, &second, &third));
}

TEST_F(Reroute, RefusesAModelThatNobodyServesAnyMoreOnceAllHaveSaidWhatTheyServe) {
  for (const bool suspect : {false, true}) {
    start(1);
    set_up(0, false, 0s);
    routes_[5] = only({0});
    Ticket& waits = submit_for(5, 0s, suspect);
    take(0s);
    routes_[5] = {};
    reroute(/*complete=*/false);
    EXPECT_THAT(take(1s), IsEmpty()) << "somebody may turn out to serve it";
    EXPECT_EQ(scheduler_->queued(), 1u);
    routes_[5] = only({0});
    reroute();
    EXPECT_THAT(take(1s), IsEmpty());
    routes_[5] = {};
    reroute();
    EXPECT_EQ(scheduler_->next_due(), TimePoint::min());
    EXPECT_THAT(take(2s), ElementsAre(&waits));
    EXPECT_EQ(waits.verdict.refused, Errc::kUnknownModel);
    EXPECT_EQ(scheduler_->queued(), 0u);
  }
}

TEST_F(Reroute, HoldsWhatNobodyIsKnownToServeUntilSomebodyIs) {
  start(1, with_hold(10s));
  Ticket& waits = submit_for(5, 0s);
  Ticket& served = submit(0s);
  EXPECT_THAT(take(0s), ElementsAre(&served));
  EXPECT_EQ(scheduler_->next_due(), at(10s));
  routes_[5] = only({0});
  reroute(/*complete=*/false);
  EXPECT_THAT(take(5s), ElementsAre(&waits));
}

TEST_F(Reroute, RefusesWhatNobodyIsKnownToServeAfterHoldTimeout) {
  start(1, with_hold(10s));
  Ticket& waits = submit_for(5, 3s);
  EXPECT_THAT(wait(3s, 13s), ElementsAre(&waits));
  EXPECT_EQ(woken_, 13s);
  EXPECT_EQ(waits.verdict.refused, Errc::kNoBackend);
}

TEST_F(Reroute, TakesAReservedBackendFromASuspectThatMayNotHaveItAnyMore) {
  start(2);
  routes_[5] = only({0});
  Ticket& busy = submit(0s, only({0}));
  take(0s);
  Ticket& suspect = submit_for(5, 0s, /*suspect=*/true);
  ASSERT_THAT(take(0s), IsEmpty());
  routes_[5] = only({1});
  reroute();
  EXPECT_THAT(take(1s), ElementsAre(&suspect));
  Ticket& other = submit(1s, only({0}));
  EXPECT_THAT(wait(1s, 1s), ElementsAre(&other));
  complete(busy), complete(other);
}

// --- other options ------------------------------------------------------------------------------

TEST_F(SchedulerOutage, GoesByNewOptionsAlsoForWhatWaits) {
  SchedulerOptions options = with(FlushPolicy::kFixed);
  start(1, options);
  Ticket& waits = submit(0s);
  EXPECT_THAT(take(0s), IsEmpty());
  options.batch_timeout = 100ms;
  scheduler_->set_options(options);
  EXPECT_THAT(take(99ms), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(100ms));
  EXPECT_THAT(take(100ms), ElementsAre(&waits));
  options.policy = FlushPolicy::kOff;
  scheduler_->set_options(options);
  Ticket& at_once = submit(200ms);
  EXPECT_THAT(take(200ms), ElementsAre(&at_once));
}

TEST_F(SchedulerOutage, KeepsWhatWaitsWhenTheQueueIsToBeShorter) {
  SchedulerOptions options = with(FlushPolicy::kFixed);
  start(1, options);
  submit_many(3, 0s);
  take(0s);
  options.max_queue = 1;
  scheduler_->set_options(options);
  Ticket& one_too_many = submit(1ms);
  EXPECT_THAT(take(1ms), ElementsAre(&one_too_many));
  EXPECT_EQ(take(500ms).size(), 3u);
}

TEST_F(SchedulerOutage, LeavesNoTicketInAnAffinityQueueThatIsNotServedAnyMore) {
  SchedulerOptions options = usual();
  start(2, options, /*room=*/1);
  const PrefixChain passage(std::string(4000, 'a'), 0);
  const auto submit_with_passage = [&](Duration arrival) -> Ticket& {
    Ticket& made = ticket(arrival);
    made.prefix = passage;
    made.tokens = 1000;
    scheduler_->submit(made);
    return made;
  };
  scheduler_->set_backend(0, {.max_num_seqs = 1, .kv_tokens = 100000});
  scheduler_->set_backend(1, {.max_num_seqs = 1, .kv_tokens = 100000});
  submit_with_passage(0s);
  submit(0s);
  ASSERT_EQ(take(0s).size(), 2u);
  Ticket& affine = submit_with_passage(1ms);
  take(1ms);
  ASSERT_TRUE(affine.affine);
  options.policy = FlushPolicy::kFixed;
  scheduler_->set_options(options);
  EXPECT_FALSE(affine.affine);
  EXPECT_THAT(take(501ms), ElementsAre(&affine));
}

}  // namespace
}  // namespace batchproxy
