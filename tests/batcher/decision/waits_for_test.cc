// tests/batcher/decision/waits_for_test.cc - what the oldest ticket that waits does wait for: each
// reason, and that it is gone with it.
#include "batcher/decision/waits_for.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::SizeIs;

class WhatATicketWaitsFor : public ProspectsFixture {
 protected:
  // Of what take() leaves.
  WaitsFor left(Duration now) {
    take(now);
    return scheduler_->waits_for();
  }
};

TEST_F(WhatATicketWaitsFor, IsNothingWhileNoneWaits) {
  start(1, patient(), /*room=*/1);
  EXPECT_EQ(left(0s), WaitsFor::kNothing);
  submit(0s);
  EXPECT_EQ(left(0s), WaitsFor::kNothing) << "it has gone";
}

TEST_F(WhatATicketWaitsFor, IsItsModelWhileNobodyIsKnownToServeThat) {
  start(1, patient());
  submit(0s, {});
  EXPECT_EQ(left(0s), WaitsFor::kModel);
}

TEST_F(WhatATicketWaitsFor, IsABackendWhileNoneOfItsOwnIsThere) {
  start(2, patient());
  set_up(0, false, 0s);
  submit(0s, only({0}));
  EXPECT_EQ(left(0s), WaitsFor::kBackend);
}

TEST_F(WhatATicketWaitsFor, IsHealthWhileCallsFail) {
  start(1, patient());
  trip(0s);
  submit(0s);
  EXPECT_EQ(left(0s), WaitsFor::kHealth);
}

TEST_F(WhatATicketWaitsFor, IsThePauseThatABackendHasAskedFor) {
  start(1, patient());
  Ticket& first = submit(0s);
  take(0s);
  scheduler_->complete(first.verdict, 1, Outcome::kRejected, at(0s), 5s);
  submit(0s);
  EXPECT_EQ(left(0s), WaitsFor::kPause);
  EXPECT_EQ(left(5s), WaitsFor::kNothing);
}

TEST_F(WhatATicketWaitsFor, IsABackendForItselfOrTheEndOfThat) {
  start(1, patient());
  submit(0s);
  ASSERT_THAT(take(0s), SizeIs(1));
  submit_suspect(0s);
  EXPECT_EQ(left(0s), WaitsFor::kAlone) << "another is there still";
  complete(tickets_[0]);
  ASSERT_THAT(take(0s), ElementsAre(&tickets_[1]));
  submit(1s);
  EXPECT_EQ(left(1s), WaitsFor::kSuspect);
}

TEST_F(WhatATicketWaitsFor, IsRoomThatGrowsAfterAnOutage) {
  start(1, patient());
  set_up(0, false, 0s);
  submit_many(40, 0s);
  take(0s);
  EXPECT_THAT(set_up(0, true, 10s), SizeIs(4)) << "a batch";
  EXPECT_EQ(scheduler_->waits_for(), WaitsFor::kRampUp);
  EXPECT_EQ(left(11s), WaitsFor::kRampUp);
  for (Duration now = 12s; now < 20s; now += 1s) take(now);
  EXPECT_EQ(scheduler_->waits_for(), WaitsFor::kNothing);
}

TEST_F(WhatATicketWaitsFor, IsRoomWhereAllIsTaken) {
  start(1, patient(), /*room=*/1);
  submit_many(2, 0s);
  EXPECT_EQ(left(0s), WaitsFor::kRoom);
}

TEST_F(WhatATicketWaitsFor, IsThatOthersGoFirstForABatch) {
  SchedulerOptions options = patient();
  options.background_share = 0.5;
  start(1, options, /*room=*/4);
  submit(0s);
  complete_all(take(0s), Outcome::kGood, 0s);
  for (int i = 0; i < 4; ++i) {
    Ticket& of_batch = ticket(0s);
    of_batch.background = true;
    of_batch.client = 7;
    scheduler_->submit(of_batch);
  }
  EXPECT_EQ(left(0s), WaitsFor::kOthers);
  EXPECT_GT(scheduler_->queued(), 0u);
}

TEST_F(WhatATicketWaitsFor, IsThatOthersShareItsCall) {
  SchedulerOptions options = patient();
  options.merge = MergePolicy::kAlways;
  options.batch_size = 1;
  start(1, options, /*room=*/100);
  for (std::uint32_t i = 0; i <= Merger::kCalls; ++i) {
    Ticket& one = ticket(0s);
    one.mergeable = Mergeable::kCompletion;
    one.identity = i;
    one.client = i;
    scheduler_->submit(one);
  }
  EXPECT_EQ(left(0s), WaitsFor::kCall);
  EXPECT_EQ(scheduler_->queued(), 1u);
}

TEST_F(WhatATicketWaitsFor, IsABatchThatFills) {
  start(1, with(FlushPolicy::kFixed));
  submit(0s);
  EXPECT_EQ(left(0s), WaitsFor::kBatch);
}

TEST_F(WhatATicketWaitsFor, IsRoomThatGrowsUnderOtherRulesToo) {
  for (const FlushPolicy policy : {FlushPolicy::kFixed, FlushPolicy::kOff}) {
    start(1, with(policy));
    set_up(0, false, 0s);
    submit_many(40, 0s);
    take(0s);
    EXPECT_THAT(set_up(0, true, 10s), SizeIs(4));
    EXPECT_EQ(scheduler_->waits_for(), WaitsFor::kRampUp);
  }
}

TEST_F(WhatATicketWaitsFor, IsABackendThatIsFastEnough) {
  start(2, patient(), /*room=*/1);
  teach(0, 20s, 0s);
  teach(1, 1s, 0s);
  submit(0s, only({1}));
  Ticket& on_slow = submit(0s, only({0}));
  ASSERT_THAT(take(0s), SizeIs(2));
  submit_with(0s, 60s);
  EXPECT_EQ(left(0s), WaitsFor::kRoom);
  complete(on_slow, Outcome::kGood, 50s);
  EXPECT_EQ(left(50s), WaitsFor::kInTime) << "the slow one has room, but takes too long";
}

TEST_F(WhatATicketWaitsFor, IsThatOfTheOldestAndOfBatchesLast) {
  start(2, patient(), /*room=*/1);
  set_up(0, false, 0s);
  Ticket& of_batch = ticket(0s);
  of_batch.backends = only({0});
  of_batch.background = true;
  scheduler_->submit(of_batch);
  EXPECT_EQ(left(0s), WaitsFor::kBackend);
  submit(1s, only({1}));
  submit(2s, only({1}));
  EXPECT_EQ(left(2s), WaitsFor::kRoom);
}

}  // namespace
}  // namespace batchproxy
