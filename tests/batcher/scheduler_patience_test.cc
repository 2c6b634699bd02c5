// tests/batcher/scheduler_patience_test.cc - what the Scheduler does for clients that
// are known to leave after a while.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class LearntPatience : public ProspectsFixture {
 protected:
  static constexpr std::uint64_t kHasty = 7;
  static constexpr std::uint64_t kCalm = 8;

  // Backends with room for one whose answers take a second; kHasty is known to wait 3 s.
  void start_learnt(std::uint32_t backends) {
    start(backends, patient(), /*room=*/1);
    for (BackendId id = 0; id < backends; ++id) teach(id, 1s, 0s);
    for (int i = 0; i < 8; ++i) {
      Ticket& made = ticket(-3s);
      made.client = kHasty;
      scheduler_->on_left(made, at(0s));
    }
    for (BackendId id = 0; id < backends; ++id) submit_of(kCalm, 0s, only({id}));
    flying_ = take(0s);
    ASSERT_EQ(flying_.size(), backends);
  }
  // The one on `id` is answered, and another goes.
  Ticket* next(BackendId id, Duration now) {
    const auto mine =
        std::ranges::find(flying_, id, [](const Ticket* each) { return each->verdict.backend; });
    complete(**mine, Outcome::kGood, now);
    flying_.erase(mine);
    const auto taken = take(now);
    if (taken.size() != 1) return nullptr;
    flying_.push_back(taken.front());
    return taken.front();
  }

  std::vector<Ticket*> flying_;
};

TEST_F(LearntPatience, PutsTheTicketsOfClientsThatWillHaveLeftBehindAllOthers) {
  start_learnt(1);
  Ticket& late = submit_of(kHasty, 0s);
  Ticket& second = submit_of(kCalm, 2s);
  Ticket& third = submit_of(kCalm, 2s);
  EXPECT_EQ(next(0, 2500ms), &second);
  EXPECT_EQ(next(0, 2600ms), &third);
  EXPECT_EQ(next(0, 2700ms), &late) << "nobody else waits";
  EXPECT_FALSE(late.verdict.refused);
}

// Another rule asks nobody's patience: what stood back would wait for ever.
TEST_F(LearntPatience, KeepsNobodyBackUnderAnotherPolicy) {
  start_learnt(1);
  Ticket& late = submit_of(kHasty, 0s);
  Ticket& second = submit_of(kCalm, 2s);
  ASSERT_EQ(next(0, 2500ms), &second);
  ASSERT_TRUE(late.late);
  SchedulerOptions options = patient();
  options.policy = FlushPolicy::kFixed;
  options.batch_timeout = 1s;
  scheduler_->set_options(options);
  EXPECT_FALSE(late.late);
  EXPECT_THAT(take(5s), ElementsAre(&late));
}

TEST_F(LearntPatience, LeavesThoseThatCanBeAnsweredBeforeTheirClientLeavesAtTheirPlace) {
  start_learnt(1);
  Ticket& in_time = submit_of(kHasty, 0s);
  submit_of(kCalm, 0s);
  EXPECT_EQ(next(0, 1s), &in_time);
}

TEST_F(LearntPatience, GivesEverySixteenthGrantToALateTicketWhileOthersWait) {
  start_learnt(1);
  for (int i = 0; i < 4; ++i) submit_of(kHasty, 0s);
  for (int i = 0; i < 60; ++i) submit_of(kCalm, 0s);
  int late = 0;
  for (int i = 0; i < 49; ++i) {
    const Ticket* granted = next(0, 2500ms);
    ASSERT_NE(granted, nullptr);
    if (granted->client == kHasty) ++late;
  }
  EXPECT_EQ(late, 3) << "only an answer that its client takes can show that it waits after all";
}

TEST_F(LearntPatience, GivesLateTicketsTheirShareHoweverTheBackendsTakeTurns) {
  start_learnt(2);
  submit_of(kHasty, 0s, only({0}));
  submit_of(kHasty, 0s, only({1}));
  for (int i = 0; i < 80; ++i) submit_of(kCalm, 0s, only({static_cast<BackendId>(i % 2)}));
  int late = 0;
  for (int i = 0; i < 70; ++i) {
    const Ticket* granted = next(static_cast<BackendId>(i % 2), 2500ms);
    ASSERT_NE(granted, nullptr);
    if (granted->client == kHasty) ++late;
  }
  EXPECT_EQ(late, 2);
}

TEST_F(LearntPatience, IsDisprovedByAnAnswerThatTheClientStillTook) {
  start_learnt(1);
  submit_of(kHasty, 0s);
  next(0, 2500ms);
  next(0, 4s);  // the hasty one is answered after 4 s
  Ticket& ticket = submit_of(kHasty, 4s);
  Ticket& blocker = submit_of(kCalm, 4s);
  (void)blocker;
  const auto taken = take(4s);
  ASSERT_THAT(taken, ElementsAre(&ticket));
}

TEST_F(LearntPatience, RecallsWhatABackendHoldsTooLate) {
  SchedulerOptions options = usual();
  options.batch_timeout = 1ms;
  start(1, options, 64);
  teach(0, 1s, 0s);  // it answers one a second
  std::vector<Ticket*> held;
  for (int i = 0; i < 100; ++i) submit_of(7, 0s);
  const auto take_into_held = [&](Duration now) {
    for (Ticket* each : take(now)) held.push_back(each);
  };
  take_into_held(0s);
  take_into_held(10ms);
  ASSERT_EQ(held.size(), 100u);
  for (Duration now = 250ms; now <= 10s; now += 250ms) {
    scheduler_->observe(0, EngineSample{.running = 1, .waiting = 99, .steps = 1}, at(now));
  }
  const auto leave = [&](Duration now) {
    complete(*held.back(), Outcome::kLeft, now);
    held.pop_back();
  };
  for (int i = 0; i < 7; ++i) leave(10s + i * 10ms);
  EXPECT_THAT(scheduler_->take_recalls(), IsEmpty());
  leave(10s + 80ms);
  const auto recalls = scheduler_->take_recalls();
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(recalls[0].backend, 0u);
  EXPECT_EQ(recalls[0].client, 7u);
  EXPECT_EQ(recalls[0].before, at(10s + 80ms - (10s + 10ms) / 2));
  // With what it answers in time it may go on, though others leave.
  while (held.size() > 4) {
    complete(*held.back(), Outcome::kUnknown, 10s + 100ms);
    held.pop_back();
  }
  leave(10s + 110ms);
  EXPECT_THAT(scheduler_->take_recalls(), IsEmpty());
}

}  // namespace
}  // namespace batchproxy
