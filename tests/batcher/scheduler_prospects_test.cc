// tests/batcher/scheduler_prospects_test.cc - what the Scheduler does about requests that
// cannot be answered in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SchedulerProspects : public ProspectsFixture {};

TEST_F(SchedulerProspects, RefuseAHopelessTicketAtItsTurnAndNeverSendIt) {
  start(1, patient(), /*room=*/1);
  teach(0, 10s, 0s);
  submit(0s);
  const auto sent = take(0s);
  ASSERT_EQ(sent.size(), 1u);
  Ticket& hopeless = submit_with(0s, 20s);
  Ticket& fine = submit_with(0s, 60s);
  EXPECT_THAT(take(14s), IsEmpty()) << "its turn has not come";
  complete_all(sent, Outcome::kGood, 15s);
  EXPECT_THAT(take(15s), testing::UnorderedElementsAre(&hopeless, &fine));
  EXPECT_EQ(hopeless.verdict.refused, Errc::kQueueTimeout);
  EXPECT_FALSE(fine.verdict.refused);
  EXPECT_EQ(scheduler_->inflight(0), 1u);
}

TEST_F(SchedulerProspects, RefuseHopelessTicketsAmongTheOverdueToo) {
  start(1, usual(), /*room=*/1);
  teach(0, 10s, 0s);
  submit_many(2, 0s);
  const auto first = take(0s);
  ASSERT_EQ(take(600ms).size(), 1u);
  Ticket& hopeless = submit_with(1s, 20s);
  EXPECT_THAT(take(2s), IsEmpty()) << "it has all that it may have";
  complete_all(first, Outcome::kGood, 15s);
  EXPECT_THAT(take(15s), ElementsAre(&hopeless));
  EXPECT_EQ(hopeless.verdict.refused, Errc::kQueueTimeout);
}

TEST_F(SchedulerProspects, AlwaysSendFreshTickets) {
  start(1, patient());
  teach(0, 10s, 0s);
  for (const Duration time : {1ms, 100ms, 1000ms, 9999ms}) {
    Ticket& fresh = submit_with(1s, time);
    EXPECT_THAT(take(1s), ElementsAre(&fresh));
    EXPECT_FALSE(fresh.verdict.refused) << "else nobody would know that answers come faster now";
  }
}

TEST_F(SchedulerProspects, LetASlowBackendTakeTheFirstThatItCanAnswerInTime) {
  start(2, patient(), /*room=*/1);
  teach(0, 20s, 0s);
  teach(1, 1s, 0s);
  Ticket& on_fast = submit(0s, only({1}));
  Ticket& on_slow = submit(0s, only({0}));
  ASSERT_EQ(take(0s).size(), 2u);
  Ticket& urgent = submit_with(0s, 60s);
  Ticket& patient_one = submit_with(0s, 600s);
  complete(on_slow, Outcome::kGood, 50s);
  EXPECT_THAT(take(50s), ElementsAre(&patient_one));
  EXPECT_EQ(patient_one.verdict.backend, 0u);
  complete(on_fast, Outcome::kGood, 51s);
  EXPECT_THAT(take(51s), ElementsAre(&urgent));
  EXPECT_EQ(urgent.verdict.backend, 1u);
  EXPECT_FALSE(urgent.verdict.refused);
}

TEST_F(SchedulerProspects, DoNotSpinWhileASlowBackendHasRoomForNobody) {
  start(2, patient(), /*room=*/1);
  teach(0, 20s, 0s);
  teach(1, 1s, 0s);
  submit(0s, only({1}));
  submit(0s, only({0}));
  const auto sent = take(0s);
  submit_with(0s, 60s);
  for (const Ticket* each : sent) {
    if (each->verdict.backend == 0) complete(*each, Outcome::kGood, 50s);
  }
  EXPECT_EQ(wait(50s, 61s).size(), 1u) << "at its deadline";
  EXPECT_EQ(woken_, 60s);
}

TEST_F(SchedulerProspects, SeeFromDeadlinesThatAnEngineHasBecomeSlowerThanAllOfThem) {
  start(1, patient());
  teach(0, 1s, 0s);
  for (int i = 0; i < 32; ++i) {
    submit_with(i * 30s, 30s);
    complete_all(take(i * 30s), Outcome::kExpired, i * 30s + 30s);
  }
  EXPECT_GT(scheduler_->usual(0), 30s);
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

}  // namespace
}  // namespace batchproxy
