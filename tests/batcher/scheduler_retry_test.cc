// tests/batcher/scheduler_retry_test.cc - what becomes of tickets that come back, and of those that
// may have brought engines down, in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/outage_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SchedulerRetry : public OutageFixture {};

// --- tickets that come back ---------------------------------------------------------------------

TEST_F(SchedulerRetry, GivesARetryItsOldPlaceAmongItsClientsAndOthers) {
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

TEST_F(SchedulerRetry, LetsARetryIntoAFullQueue) {
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

TEST_F(SchedulerRetry, RefusesARetryThatTheBudgetDoesNotAllow) {
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

TEST_F(SchedulerRetry, AllowsMoreRetriesWhenTheBackendsDoWell) {
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

TEST_F(SchedulerRetry, DoesNotTellARetrysOldRefusalAgain) {
  start(1);
  Ticket& retried = submit(0s);
  take(0s);
  retried.verdict.refused = Errc::kQueueFull;
  complete(retried);
  scheduler_->submit(retried);
  EXPECT_THAT(take(1s), ElementsAre(&retried));
  EXPECT_FALSE(retried.verdict.refused);
}

TEST_F(SchedulerRetry, SendsARetryToAnotherBackendWhileOneIsUpHoweverBusy) {
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

TEST_F(SchedulerRetry, SendsARetryToWhoHasFailedItWhenNobodyElseIsUp) {
  start(2);
  set_up(1, false, 0s);
  Ticket& retry = ticket(0s);
  retry.avoid = only({0});
  scheduler_->submit(retry);
  EXPECT_THAT(take(0s), ElementsAre(&retry));
  EXPECT_EQ(retry.verdict.backend, 0u);
}

TEST_F(SchedulerRetry, SendsARetryToWhoHasFailedItWhenTheOthersGoDownWhileItWaits) {
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

TEST_F(SchedulerRetry, KeepsToBothAfterwardsWhenTheOthersWentDownWhileARetryWaited) {
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

TEST_F(SchedulerRetry, RunsASuspectWithNothingElseOnItsBackend) {
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

TEST_F(SchedulerRetry, ServesTheOthersElsewhereWhileASuspectRuns) {
  start(2);
  Ticket& suspect = submit_suspect(0s);
  submit_many(10, 0s);
  EXPECT_EQ(take(0s).size(), 11u);
  EXPECT_EQ(scheduler_->inflight(suspect.verdict.backend), 1u);
  EXPECT_EQ(scheduler_->inflight(1 - suspect.verdict.backend), 10u);
}

TEST_F(SchedulerRetry, RunsOneSuspectAtATime) {
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

TEST_F(SchedulerRetry, LetsTheOthersHaveTheirTurnBetweenSuspectsWhenThereIsOneBackend) {
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

TEST_F(SchedulerRetry, GivesTheBackendBackWhenASuspectIsCancelled) {
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

TEST_F(SchedulerRetry, GivesTheBackendBackWhenASuspectHasWaitedTooLong) {
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

TEST_F(SchedulerRetry, ReservesAnotherBackendWhenTheFirstGoesDown) {
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

TEST_F(SchedulerRetry, ServesOthersWhileASuspectsBackendIsDownUnderIt) {
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

TEST_F(SchedulerRetry, DoesNotGiveASuspectABackendWhoseBreakerHasOpenedMeanwhile) {
  start(1);
  submit_many(3, 0s);
  const auto before = take(0s);
  ASSERT_EQ(before.size(), 3u);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  complete_all(before, Outcome::kDied, 0s);
  EXPECT_THAT(wait(0s, Isolation::kCalm - 1ms), IsEmpty());
  EXPECT_THAT(wait(0s, Isolation::kCalm), ElementsAre(&suspect)) << "as its probe";
}

TEST_F(SchedulerRetry, DoesNotGiveASuspectABackendThatHasAskedForAPauseMeanwhile) {
  start(1);
  Ticket& before = submit(0s);
  take(0s);
  Ticket& suspect = submit_suspect(0s);
  take(0s);
  scheduler_->complete(before.verdict, 1, Outcome::kRejected, at(0s), 9s);
  EXPECT_THAT(wait(0s, 8999ms), IsEmpty());
  EXPECT_THAT(wait(0s, 9s), ElementsAre(&suspect));
}

TEST_F(SchedulerRetry, LetsASuspectPassThatCanBeServedWhileAnEarlierOneCannot) {
  start(2);
  set_up(0, false, 0s);
  submit_suspect(0s, only({0}));
  Ticket& served = submit_suspect(1s, only({1}));
  EXPECT_THAT(take(1s), ElementsAre(&served));
}

TEST_F(SchedulerRetry, HoldsASuspectLikeAnyOther) {
  start(1, with_hold(10s));
  set_up(0, false, 0s);
  Ticket& suspect = submit_suspect(1s);
  EXPECT_THAT(wait(1s, 11s), ElementsAre(&suspect));
  EXPECT_EQ(woken_, 11s);
  EXPECT_EQ(suspect.verdict.refused, Errc::kNoBackend);
}

TEST_F(SchedulerRetry, ServesAHeldSuspectWhenABackendComesUp) {
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

}  // namespace
}  // namespace batchproxy
