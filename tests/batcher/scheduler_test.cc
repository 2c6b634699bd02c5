// tests/batcher/scheduler_test.cc - the Scheduler's policy, as sentences, in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SchedulerTest : public SchedulerFixture {
 protected:
  void start(FlushPolicy policy, std::uint32_t backends = 1, std::uint32_t room = 4,
             std::uint32_t batch_size = 4, std::size_t max_queue = 1000) {
    SchedulerFixture::start({.policy = policy,
                             .batch_size = batch_size,
                             .batch_timeout = 500ms,
                             .max_queue = max_queue,
                             .stuck_timeout = 0s},
                            backends, {.max_num_seqs = room});
  }
  Ticket& ticket(Duration arrival, std::uint32_t prompts = 1) {
    Ticket& made = SchedulerFixture::ticket(arrival);
    made.prompts = prompts;
    return made;
  }
  Ticket& submit(Duration arrival, std::uint32_t prompts = 1) {
    Ticket& made = ticket(arrival, prompts);
    scheduler_->submit(made);
    return made;
  }
};

using EagerScheduler = SchedulerTest;
using FixedScheduler = SchedulerTest;
using OffScheduler = SchedulerTest;

TEST_F(EagerScheduler, GrantsALoneRequestAtOnce) {
  start(FlushPolicy::kEager);
  Ticket& lone = submit(0ms);
  EXPECT_THAT(take(0ms), ElementsAre(&lone));
  EXPECT_FALSE(lone.verdict.refused);
  EXPECT_EQ(lone.verdict.batch.prompts, 1u);
  EXPECT_EQ(lone.verdict.batch.reason, FlushReason::kRoom);
}

TEST_F(EagerScheduler, SpreadsOverTheLeastLoadedBackends) {
  start(FlushPolicy::kEager, 4);
  for (int i = 0; i < 8; ++i) submit(0ms);
  EXPECT_EQ(take(0ms).size(), 8u);
  for (BackendId id = 0; id < 4; ++id) EXPECT_EQ(scheduler_->inflight(id), 2u);
}

TEST_F(EagerScheduler, KeepsWaitingWhatABackendHasNoRoomForAndGrantsItInOrderOfArrival) {
  start(FlushPolicy::kEager, 1, /*room=*/2);
  Ticket& first = submit(0ms);
  submit(1ms);
  Ticket& third = submit(2ms);
  Ticket& fourth = submit(3ms);
  EXPECT_EQ(take(3ms).size(), 2u);
  EXPECT_EQ(scheduler_->queued(), 2u);
  complete(first);
  EXPECT_THAT(take(4ms), ElementsAre(&third));
  complete(third);
  EXPECT_THAT(take(5ms), ElementsAre(&fourth));
}

TEST_F(EagerScheduler, CallsWhatItGrantsToOneBackendInOneGoABatchOfAtMostBatchSize) {
  start(FlushPolicy::kEager, 1, /*room=*/10, /*batch_size=*/4);
  for (int i = 0; i < 6; ++i) submit(0ms);
  const auto granted = take(0ms);
  ASSERT_EQ(granted.size(), 6u);
  EXPECT_EQ(granted[0]->verdict.batch.prompts, 4u);
  EXPECT_EQ(granted[0]->verdict.batch.reason, FlushReason::kFull);
  EXPECT_EQ(granted[5]->verdict.batch.prompts, 2u);
  EXPECT_EQ(granted[5]->verdict.batch.reason, FlushReason::kRoom);
  EXPECT_NE(granted[0]->verdict.batch.id, granted[5]->verdict.batch.id);
}

TEST_F(EagerScheduler, SendsARequestBeyondTheRoomExactlyAtBatchTimeout) {
  start(FlushPolicy::kEager, 1, /*room=*/1);
  submit(0ms);
  take(0ms);
  Ticket& waiting = submit(10ms);
  EXPECT_THAT(take(10ms), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(510ms));
  EXPECT_THAT(take(509ms), IsEmpty());
  EXPECT_THAT(take(510ms), ElementsAre(&waiting));
  EXPECT_EQ(waiting.verdict.batch.reason, FlushReason::kTimeout);
}

TEST_F(EagerScheduler, NeverExceedsTwiceMaxNumSeqsAndThenSleepsUntilACompletion) {
  start(FlushPolicy::kEager, 1, /*room=*/1);
  for (int i = 0; i < 5; ++i) submit(0ms);
  take(0ms);
  take(600ms);
  EXPECT_EQ(scheduler_->inflight(0), 2u);
  EXPECT_EQ(scheduler_->queued(), 3u);
  // Nothing but the far deadlines is due: the lane must not spin on the overdue heads.
  EXPECT_EQ(scheduler_->next_due(), at(600s));
}

TEST_F(EagerScheduler, TreatsAClientsListAsThatManyPrompts) {
  start(FlushPolicy::kEager, 2, /*room=*/8, /*batch_size=*/4);
  Ticket& list = submit(0ms, /*prompts=*/6);
  Ticket& single = submit(0ms);
  EXPECT_THAT(take(0ms), testing::UnorderedElementsAre(&list, &single));
  EXPECT_EQ(scheduler_->inflight(list.verdict.backend), 6u);
  EXPECT_NE(list.verdict.backend, single.verdict.backend);
}

TEST_F(EagerScheduler, GrantsOnlyToBackendsThatServeTheTicket) {
  start(FlushPolicy::kEager, 3);
  Ticket& only_third = ticket(0ms);
  only_third.backends = BackendSet();
  only_third.backends.insert(2);
  scheduler_->submit(only_third);
  EXPECT_THAT(take(0ms), ElementsAre(&only_third));
  EXPECT_EQ(only_third.verdict.backend, 2u);
}

TEST_F(EagerScheduler, ServesTheOldestOfAllQueuesThatABackendCanServe) {
  start(FlushPolicy::kEager, 2, /*room=*/1);
  submit(0ms), submit(0ms);
  take(0ms);
  Ticket& older = ticket(2ms);
  older.backends = BackendSet::first(1);  // the first only
  scheduler_->submit(older);
  Ticket& shared = submit(5ms);  // either backend
  scheduler_->complete(Grant{.backend = 0}, 1, Outcome::kGood, at(5ms));
  EXPECT_THAT(take(6ms), ElementsAre(&older));
  scheduler_->complete(Grant{.backend = 1}, 1, Outcome::kGood, at(6ms));
  EXPECT_THAT(take(7ms), ElementsAre(&shared));
}

TEST_F(EagerScheduler, PutsARetryBackByItsArrivalNotAtTheEnd) {
  start(FlushPolicy::kEager, 1, /*room=*/1);
  Ticket& retried = submit(0ms);
  take(0ms);
  submit(1ms), submit(2ms);
  complete(retried);
  scheduler_->submit(retried);
  EXPECT_THAT(take(3ms), ElementsAre(&retried));
}

TEST_F(SchedulerTest, RefusesWhatWouldOverfillTheQueueAndLeavesTheRest) {
  start(FlushPolicy::kEager, 1, /*room=*/1, /*batch_size=*/4, /*max_queue=*/2);
  submit(0ms);
  take(0ms);
  submit(1ms), submit(1ms);
  Ticket& one_too_many = submit(1ms);
  EXPECT_THAT(take(1ms), ElementsAre(&one_too_many));
  EXPECT_EQ(one_too_many.verdict.refused, Errc::kQueueFull);
  EXPECT_EQ(scheduler_->queued(), 2u);
}

TEST_F(SchedulerTest, EndsARequestInTheQueueAtItsDeadline) {
  start(FlushPolicy::kEager, 1, /*room=*/1);
  submit(0ms);
  take(0ms);
  submit(0ms);
  take(500ms);  // both places of max_inflight are taken
  Ticket& waiting = ticket(10ms);
  waiting.deadline = at(2s);
  scheduler_->submit(waiting);
  EXPECT_THAT(take(1999ms), IsEmpty());
  EXPECT_EQ(scheduler_->next_due(), at(2s));
  EXPECT_THAT(take(2s), ElementsAre(&waiting));
  EXPECT_EQ(waiting.verdict.refused, Errc::kQueueTimeout);
}

TEST_F(SchedulerTest, CancelsAQueuedTicketAndOnlyThat) {
  start(FlushPolicy::kEager, 1, /*room=*/1);
  Ticket& granted = submit(0ms);
  take(0ms);
  Ticket& waiting = submit(1ms);
  EXPECT_TRUE(scheduler_->cancel(waiting));
  EXPECT_FALSE(scheduler_->cancel(waiting));
  EXPECT_FALSE(scheduler_->cancel(granted));
  EXPECT_EQ(scheduler_->queued(), 0u);
}

TEST_F(FixedScheduler, WaitsUntilTheBatchIsFull) {
  start(FlushPolicy::kFixed, 1, /*room=*/100, /*batch_size=*/3);
  submit(0ms), submit(1ms);
  EXPECT_THAT(take(1ms), IsEmpty());
  submit(2ms);
  const auto batch = take(2ms);
  ASSERT_EQ(batch.size(), 3u);
  for (const Ticket* member : batch) {
    EXPECT_EQ(member->verdict.batch.reason, FlushReason::kFull);
    EXPECT_EQ(member->verdict.batch.id, batch[0]->verdict.batch.id);
  }
}

TEST_F(FixedScheduler, FlushesAnUnderfullBatchExactlyAtBatchTimeout) {
  start(FlushPolicy::kFixed, 1, 100, 4);
  submit(0ms), submit(7ms);
  take(7ms);
  EXPECT_EQ(scheduler_->next_due(), at(500ms));
  EXPECT_THAT(take(499ms), IsEmpty());
  const auto batch = take(500ms);
  ASSERT_EQ(batch.size(), 2u);
  EXPECT_EQ(batch[0]->verdict.batch.reason, FlushReason::kTimeout);
}

TEST_F(FixedScheduler, FlushesEarlyForAMemberWithLittleTime) {
  start(FlushPolicy::kFixed, 1, 100, 4);
  submit(0ms);
  Ticket& hurried = ticket(10ms);
  hurried.deadline = at(210ms);
  scheduler_->submit(hurried);
  EXPECT_THAT(take(109ms), IsEmpty());
  const auto batch = take(110ms);
  ASSERT_EQ(batch.size(), 2u);
  EXPECT_EQ(batch[0]->verdict.batch.reason, FlushReason::kDeadline);
}

TEST_F(FixedScheduler, SendsAWholeBatchToTheBackendWithTheFewestInFlight) {
  start(FlushPolicy::kFixed, 2, 100, 2);
  submit(0ms), submit(0ms);
  const auto first = take(0ms);
  submit(1ms), submit(1ms);
  const auto second = take(1ms);
  ASSERT_EQ(first.size(), 2u);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(first[0]->verdict.backend, first[1]->verdict.backend);
  EXPECT_NE(first[0]->verdict.backend, second[0]->verdict.backend);
}

TEST_F(FixedScheduler, LetsStreamsPassAtOnce) {
  start(FlushPolicy::kFixed, 1, 100, 4);
  submit(0ms);
  Ticket& stream = ticket(1ms);
  stream.streaming = true;
  scheduler_->submit(stream);
  EXPECT_THAT(take(1ms), ElementsAre(&stream));
}

TEST_F(FixedScheduler, FlushesAtOnceWhenDraining) {
  start(FlushPolicy::kFixed, 1, 100, 4);
  Ticket& last = submit(0ms);
  scheduler_->drain();
  EXPECT_THAT(take(0ms), ElementsAre(&last));
  EXPECT_EQ(last.verdict.batch.reason, FlushReason::kDrain);
}

TEST_F(OffScheduler, GrantsEverythingAtOnceWhateverTheRoom) {
  start(FlushPolicy::kOff, 2, /*room=*/1);
  for (int i = 0; i < 10; ++i) submit(0ms);
  EXPECT_EQ(take(0ms).size(), 10u);
  EXPECT_EQ(scheduler_->inflight(0), 5u);
  EXPECT_EQ(scheduler_->inflight(1), 5u);
}

}  // namespace
}  // namespace batchproxy
