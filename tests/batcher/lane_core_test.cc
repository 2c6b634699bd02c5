// tests/batcher/lane_core_test.cc - LaneCore: what comes back for which message, without threads.
#include "batcher/lane_core.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

struct NoSink final : VerdictSink {
  void on_returned(Ticket&) override {}
};

class LaneCoreTest : public testing::Test {
 protected:
  LaneCoreTest() {
    core_.add_handle();
    core_.add_handle();
    core_.add_backend(0, {.max_num_seqs = 2});
    core_.set_up(0, true);
    core_.set_routes(routes(1));
  }
  static Routes routes(std::uint64_t version) {
    Routes made;
    made.version = version;
    made.models[5] = BackendSet::first(1);
    return made;
  }
  Ticket ticket(std::uint32_t handle, std::uint64_t model = 5, std::uint64_t version = 1) {
    Ticket made;
    made.arrival = now_;
    made.deadline = now_ + 1h;
    made.model = model;
    made.routes = version;
    made.backends = BackendSet::first(1);
    made.sink = &sink_;
    made.handle = handle;
    return made;
  }
  void handle(const LaneMessage& message) { core_.handle(message, now_); }

  TimePoint now_ = TimePoint() + 1h;
  NoSink sink_;
  LaneCore core_{{FlushPolicy::kEager, 16, 500ms, 1000}};
};

TEST_F(LaneCoreTest, PutsEachVerdictIntoTheOutboxOfItsPort) {
  Ticket a = ticket(0), b = ticket(1);
  handle(LaneMessage::submit(a));
  handle(LaneMessage::submit(b));
  EXPECT_TRUE(core_.outbox(0).empty()) << "nothing is decided before decide()";
  EXPECT_EQ(core_.decide(now_).size(), 2u);
  EXPECT_EQ(core_.outbox(0), std::vector<Ticket*>{&a});
  EXPECT_EQ(core_.outbox(1), std::vector<Ticket*>{&b});
}

TEST_F(LaneCoreTest, AWaitingTicketComesBackForItsSubmitAndItsCancel) {
  Ticket a = ticket(0), b = ticket(0), waits = ticket(0);
  for (Ticket* each : {&a, &b, &waits}) handle(LaneMessage::submit(*each));
  core_.decide(now_);
  core_.outbox(0).clear();
  handle(LaneMessage::cancel(waits, /*client_left=*/true));
  EXPECT_EQ(core_.outbox(0), (std::vector<Ticket*>{&waits, &waits}));
  EXPECT_EQ(waits.verdict.refused, Errc::kCancelled);
}

TEST_F(LaneCoreTest, AGrantedTicketComesBackForItsCancelAlone) {
  Ticket a = ticket(0);
  handle(LaneMessage::submit(a));
  core_.decide(now_);
  core_.outbox(0).clear();
  handle(LaneMessage::cancel(a, false));
  EXPECT_EQ(core_.outbox(0), std::vector<Ticket*>{&a});
  EXPECT_FALSE(a.verdict.refused);
}

TEST_F(LaneCoreTest, ATicketOfAnOlderTableWhoseModelHasGoneIsTurnedAwayWithoutADecision) {
  Ticket gone = ticket(1, 6, 0);
  handle(LaneMessage::submit(gone));
  EXPECT_EQ(core_.outbox(1), std::vector<Ticket*>{&gone});
  EXPECT_EQ(gone.verdict.refused, Errc::kUnknownModel);
  EXPECT_EQ(core_.scheduler().queued(), 0u);
}

TEST_F(LaneCoreTest, ALookUpLeavesOutWhoeverIsNeverToBeAsked) {
  Ticket beside = ticket(0, 5, 0);
  beside.never.insert(0);
  handle(LaneMessage::submit(beside));
  EXPECT_EQ(beside.verdict.refused, Errc::kUnknownModel);
}

TEST_F(LaneCoreTest, IsDueAtTheDeadlineOfWhatWaits) {
  core_.set_up(0, false);
  Ticket waits = ticket(0);
  waits.deadline = now_ + 10s;
  handle(LaneMessage::submit(waits));
  core_.decide(now_);
  ASSERT_TRUE(core_.next_due());
  EXPECT_LE(*core_.next_due(), waits.deadline);
  core_.decide(waits.deadline);
  EXPECT_EQ(core_.outbox(0), std::vector<Ticket*>{&waits});
  EXPECT_TRUE(waits.verdict.refused);
}

TEST_F(LaneCoreTest, AFreedBackendIsGivenWhatWaits) {
  Ticket a = ticket(0), b = ticket(0), waits = ticket(0);
  for (Ticket* each : {&a, &b, &waits}) handle(LaneMessage::submit(*each));
  core_.decide(now_);
  core_.outbox(0).clear();
  handle(LaneMessage::complete(a, Outcome::kGood, {}));
  core_.decide(now_);
  EXPECT_EQ(core_.outbox(0), std::vector<Ticket*>{&waits});
  EXPECT_EQ(core_.stats().inflight[0].load(), 2u);
}

TEST_F(LaneCoreTest, KnowsForHowLongTheOldestWaitAndFly) {
  Ticket a = ticket(0), b = ticket(0);
  const TimePoint start = now_;
  handle(LaneMessage::submit(a));
  handle(LaneMessage::submit(b));
  core_.decide(now_);
  now_ += 5s;
  Ticket waits = ticket(0), leaves = ticket(0);
  for (Ticket* each : {&waits, &leaves}) {
    each->arrival = start + 1s;  // as a retry's
    each->never = {};
    handle(LaneMessage::submit(*each));
  }
  core_.set_up(0, false);
  core_.decide(now_);
  const LaneStats& stats = core_.stats();
  EXPECT_EQ(stats.oldest[0].age(now_), 5);
  EXPECT_EQ(stats.quiet_since[0].age(now_), 5);
  EXPECT_EQ(stats.oldest_waiting.age(now_), 4);
  handle(LaneMessage::cancel(leaves, false));
  handle(LaneMessage::cancel(waits, false));
  handle(LaneMessage::complete(a, Outcome::kGood, {}));
  handle(LaneMessage::complete(b, Outcome::kLost, {}));
  core_.decide(now_);
  EXPECT_EQ(stats.oldest[0].age(now_), 0);
  EXPECT_EQ(stats.quiet_since[0].age(now_), 0);
  EXPECT_EQ(stats.oldest_waiting.age(now_), 0);
  EXPECT_EQ(stats.takes[0].total(), 1u) << "good answers only";
  EXPECT_EQ(stats.waits.total(), 2u);
}

}  // namespace
}  // namespace batchproxy
