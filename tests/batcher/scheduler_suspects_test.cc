// tests/batcher/scheduler_suspects_test.cc - requests that may have brought engines down, and other
// cases that the fault simulation (tests/fault_sim) has found; seeds are of its first version.
#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

class FoundBySimulation : public SchedulerFixture {
 protected:
  void start_two(FlushPolicy policy = FlushPolicy::kEager) {
    start({.policy = policy, .batch_size = 4, .batch_timeout = 100ms, .hold_timeout = 10s}, 2,
          {.max_num_seqs = 4});
  }
  Ticket& suspect(Duration arrival, BackendSet backends) {
    Ticket& made = ticket(arrival);
    made.suspect = true;
    made.backends = backends;
    return made;
  }
  // The engine of an ordinary request ends, a second after it was sent there.
  void let_an_engine_end() {
    const Ticket& dies = ticket(0s);
    scheduler_->submit(tickets_.back());
    ASSERT_EQ(take(0s).size(), 1u);
    complete(dies, Outcome::kDied, 1s);
  }
  static BackendSet only(BackendId id) {
    BackendSet set;
    set.insert(id);
    return set;
  }
};

// Seed 20: the backend that was reserved for it began to fail, or asked to be left alone.
TEST_F(FoundBySimulation, ASuspectDoesNotGoToItsReservedBackendOnceThatAsksForAPause) {
  start_two();
  Ticket& first = ticket(0s);
  first.backends = only(0);
  scheduler_->submit(first);
  ASSERT_EQ(take(0s).size(), 1u);
  scheduler_->submit(suspect(0s, only(0)));
  EXPECT_TRUE(take(0s).empty());  // reserved, but not empty yet
  scheduler_->complete(first.verdict, 1, Outcome::kRejected, at(1s), 5s);
  EXPECT_TRUE(take(1s).empty());
  EXPECT_TRUE(take(5s).empty());
  EXPECT_EQ(take(6s).size(), 1u);
}

TEST_F(FoundBySimulation, ASuspectWhoseBackendsAreDownDoesNotKeepOthersWaiting) {
  start_two();
  scheduler_->set_up(0, false);
  scheduler_->submit(suspect(0s, only(0)));
  Ticket& second = suspect(0s, only(1));
  scheduler_->submit(second);
  EXPECT_EQ(take(0s), std::vector<Ticket*>{&second});
}

// Seed 7.
TEST_F(FoundBySimulation, ASuspectGoesToABackendThatItAvoidsWhenNoOtherIsLeft) {
  start_two();
  scheduler_->set_up(0, false);
  take(0s);
  Ticket& avoids = suspect(0s, all_);
  avoids.avoid = only(0);
  Ticket& before = ticket(0s);
  scheduler_->submit(before);
  take(0s);  // 1 is busy
  scheduler_->submit(avoids);
  EXPECT_TRUE(take(0s).empty());
  scheduler_->set_up(1, false);
  take(1s);
  scheduler_->set_up(0, true);
  EXPECT_EQ(take(2s), std::vector<Ticket*>{&avoids});
}

TEST_F(FoundBySimulation, ASuspectIsNotHeldLongerThanOthers) {
  start_two();
  scheduler_->set_up(0, false);
  scheduler_->set_up(1, false);
  take(0s);
  scheduler_->submit(suspect(0s, all_));
  take(0s);
  EXPECT_EQ(scheduler_->next_due(), at(10s));
  const auto refused = take(10s);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0]->verdict.refused, Errc::kNoBackend);
}

// All engines are killed one after another, faster than the proxy asks the next.
TEST_F(FoundBySimulation, ASuspectWaitsUntilNoEngineHasEndedForAWhile) {
  start_two();
  let_an_engine_end();
  Ticket& waits = suspect(1s, all_);
  scheduler_->submit(waits);
  EXPECT_TRUE(take(1s).empty());
  EXPECT_EQ(scheduler_->next_due(), at(1s + Isolation::kCalm));
  EXPECT_TRUE(take(1s + Isolation::kCalm - 1ms).empty());
  EXPECT_EQ(take(1s + Isolation::kCalm), std::vector<Ticket*>{&waits});
  EXPECT_TRUE(waits.verdict.alone);
}

TEST_F(FoundBySimulation, OthersGoOnWhileASuspectWaitsForCalm) {
  start_two();
  let_an_engine_end();
  scheduler_->submit(suspect(1s, all_));
  for (int i = 0; i < 3; ++i) scheduler_->submit(ticket(1s));
  EXPECT_EQ(take(1s).size(), 3u);
}

// Seed 21.
TEST_F(FoundBySimulation, AFixedBatchIsNoProbe) {
  start_two(FlushPolicy::kFixed);
  scheduler_->set_up(1, false);
  for (int i = 0; i < 4; ++i) scheduler_->submit(ticket(0s));
  for (Ticket* each : take(0s)) complete(*each, Outcome::kDied, 0s);
  for (int i = 0; i < 4; ++i) scheduler_->submit(ticket(0s));
  EXPECT_TRUE(take(900ms).empty());
  EXPECT_EQ(take(6s).size(), 1u);
}

// Seed 3981: many fail at once after a silence, and come again before the next take().
TEST_F(FoundBySimulation, TheRetryBudgetCountsAtTheTimeOfTheFailure) {
  start({.policy = FlushPolicy::kOff}, 2, {.max_num_seqs = 1000});
  for (int i = 0; i < 300; ++i) scheduler_->submit(ticket(0s));
  const auto granted = take(0s);
  ASSERT_EQ(granted.size(), 300u);
  std::size_t retried = 0;
  for (std::size_t i = 0; i < granted.size(); ++i) {
    complete(*granted[i], Outcome::kTimedOut, 60s);
    granted[i]->costs_budget = true;
    scheduler_->submit(*granted[i]);
    retried += granted[i]->verdict.refused ? 0 : 1;
    if (i == 150) take(60s);
  }
  EXPECT_EQ(retried, 100u);
}

// Seed 1827: nor is a new queue taken to have been without a backend since the last take().
TEST_F(FoundBySimulation, ARetryAfterASilenceIsHeldForTheWholeHoldTimeout) {
  start({.policy = FlushPolicy::kOff, .hold_timeout = 10s}, 2, {.max_num_seqs = 8});
  scheduler_->set_up(1, false);
  all_ = BackendSet::first(1);
  for (int i = 0; i < 3; ++i) scheduler_->submit(ticket(0s));
  const auto lost = take(0s);
  for (const Ticket* each : lost) complete(*each, Outcome::kDied, 60s);
  lost[0]->backends.insert(1);  // another set, so that it gets a queue of its own
  scheduler_->submit(*lost[0]);
  EXPECT_TRUE(take(60s).empty());
}

}  // namespace
}  // namespace batchproxy
