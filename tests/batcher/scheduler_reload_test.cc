// tests/batcher/scheduler_reload_test.cc - what becomes of waiting tickets when other backends
// serve them, or other options hold, in virtual time.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/outage_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

// --- other backends -----------------------------------------------------------------------------

class Reroute : public OutageFixture {
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

TEST_F(Reroute, GivesNobodyBackABackendThatItIsNeverToHave) {
  start(2);
  set_up(1, false, 0s);
  routes_[5] = only({0, 1});
  Ticket& waits = ticket(0s);
  waits.model = 5;
  waits.backends = only({1});
  waits.never = only({0});
  scheduler_->submit(waits);
  reroute();
  EXPECT_THAT(take(1s), IsEmpty());
  EXPECT_THAT(set_up(1, true, 2s), ElementsAre(&waits));
  EXPECT_EQ(waits.verdict.backend, 1u);
}

TEST_F(Reroute, KnowsNothingOfTheServerThatHadAnIdBefore) {
  start(1);
  for (int i = 0; i < 16; ++i) {
    submit(i * 40s);
    complete_all(take(i * 40s), Outcome::kGood, (i + 1) * 40s);
  }
  ASSERT_GE(scheduler_->usual(0), 40s);
  submit(640s);
  complete_all(take(640s), Outcome::kDied, 641s);
  ASSERT_TRUE(scheduler_->breaker_open(0));
  set_up(0, false, 642s);
  scheduler_->add_backend(0, {.max_num_seqs = 7});
  set_up(0, true, 643s);
  EXPECT_FALSE(scheduler_->breaker_open(0));
  EXPECT_EQ(scheduler_->room(0), 7u);
  Ticket& fresh = submit(643s);
  EXPECT_THAT(take(643s), ElementsAre(&fresh));
  EXPECT_EQ(fresh.verdict.generation, 1u);
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

class SchedulerReload : public OutageFixture {};

TEST_F(SchedulerReload, GoesByNewOptionsAlsoForWhatWaits) {
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

TEST_F(SchedulerReload, KeepsWhatWaitsWhenTheQueueIsToBeShorter) {
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

TEST_F(SchedulerReload, LeavesNoTicketInAnAffinityQueueThatIsNotServedAnyMore) {
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
