// tests/batcher/decision/merger_test.cc - which tickets share a call with which.
#include "batcher/decision/merger.h"

#include <deque>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr TimePoint kNow = TimePoint() + 1h;

class MergerTable : public testing::Test {
 protected:
  MergerTable() {
    for (BackendId id = 0; id < 2; ++id) {
      turns_.add_backend(id);
      prospects_.add_backend(id);
      fleet_.add(id, {.max_num_seqs = 100, .exact_usage = true});
      fleet_.set_up(id, true, kNow);
    }
    fleet_.begin_refresh(kNow);
    fleet_.refresh({}, kNow);
  }
  ~MergerTable() override {
    while (!turns_.all().empty()) turns_.drop(*turns_.all().begin(), kNow);
  }

  Ticket& waiting(std::uint64_t client, std::uint64_t identity) {
    Ticket& ticket = tickets_.emplace_back();
    ticket.arrival = kNow;
    ticket.deadline = kNow + 600s;
    ticket.backends = ticket.among = BackendSet::first(2);
    ticket.client = client;
    ticket.identity = identity;
    ticket.mergeable = Mergeable::kCompletion;
    ticket.short_answer = true;
    turns_.clients().on_submitted(ticket, kNow);
    turns_.enter(ticket, std::nullopt, kNow);
    return ticket;
  }
  std::vector<Ticket*> followers_of(Ticket& leader, std::uint32_t most = 100) {
    turns_.leave(leader);
    turns_.clients().on_granted(leader);
    std::vector<Ticket*> found;
    merger_.find_followers(leader, 0, most, kNow, found);
    return found;
  }
  // Most of what the backend has is outside of its engine.
  void crowd_front_end(BackendId id) {
    Ticket ticket;
    ticket.prompts = 50;
    fleet_.on_granted(id, ticket, kNow);
    for (int look = 0; look < 2; ++look) fleet_.observe(id, EngineSample{.running = 1}, kNow);
  }

  std::deque<Ticket> tickets_;  // outlive the queues
  SchedulerOptions options_{.merge = MergePolicy::kAlways};
  Fleet fleet_{options_};
  Turns turns_{fleet_};
  Prospects prospects_{options_, fleet_, turns_};
  Merger merger_{options_, fleet_, turns_, prospects_};
};

TEST_F(MergerTable, TakesFollowersThatAreAlikeInOrderOfTurn) {
  Ticket& leader = waiting(1, 7);
  Ticket& second = waiting(1, 7);
  Ticket& other_client = waiting(2, 7);
  waiting(3, 8);
  EXPECT_THAT(followers_of(leader), ElementsAre(&other_client, &second));
}

TEST_F(MergerTable, TakesNoMoreThanFit) {
  Ticket& leader = waiting(1, 7);
  for (int i = 0; i < 5; ++i) waiting(2, 7);
  EXPECT_EQ(followers_of(leader, 3).size(), 3u);
}

TEST_F(MergerTable, TakesNothingBehindAClientsTicketThatDoesNotFit) {
  Ticket& leader = waiting(1, 7);
  waiting(2, 8);
  waiting(2, 7);
  Ticket& fits = waiting(3, 7);
  EXPECT_THAT(followers_of(leader), ElementsAre(&fits));
}

TEST_F(MergerTable, IsDoneByItselfOnlyWhileEveryFrontEndIsTheBottleneck) {
  options_.merge = MergePolicy::kAuto;
  const Ticket& ticket = waiting(1, 7);
  EXPECT_FALSE(merger_.merges_now(ticket, fleet_[0]));
  crowd_front_end(0);
  EXPECT_FALSE(merger_.merges_now(ticket, fleet_[0])) << "the other would take it at once";
  crowd_front_end(1);
  EXPECT_TRUE(merger_.merges_now(ticket, fleet_[0]));
  options_.policy = FlushPolicy::kFixed;
  EXPECT_FALSE(merger_.merges_now(ticket, fleet_[0]));
}

TEST_F(MergerTable, GathersOnceABackendHasManyCalls) {
  const Ticket& ticket = waiting(1, 7);
  for (std::uint32_t i = 0; i < Merger::kCalls; ++i) {
    EXPECT_FALSE(merger_.gathers(ticket, fleet_[0]));
    fleet_.on_call(0);
  }
  EXPECT_TRUE(merger_.gathers(ticket, fleet_[0]));
}

}  // namespace
}  // namespace batchproxy
