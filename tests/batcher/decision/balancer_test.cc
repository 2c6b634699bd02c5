// tests/batcher/decision/balancer_test.cc - which backend is best for a ticket.
#include "batcher/decision/balancer.h"

#include <deque>
#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kNow = TimePoint() + 1h;

BackendSet only(BackendId id) {
  BackendSet set;
  set.insert(id);
  return set;
}

class Balancing : public testing::Test {
 protected:
  Balancing() {
    for (BackendId id = 0; id < 3; ++id) {
      turns_.add_backend(id);
      fleet_.add(id, {.max_num_seqs = 100});
      fleet_.set_up(id, true, kNow);
    }
    refresh();
  }
  void refresh() {
    fleet_.begin_refresh(kNow);
    fleet_.refresh({}, kNow);
  }
  void load(BackendId id, std::uint32_t prompts) {
    Ticket ticket;
    ticket.prompts = prompts;
    fleet_.on_granted(id, ticket, kNow);
  }
  Ticket asking_for(const PrefixChain& prefix) const {
    Ticket ticket;
    ticket.backends = ticket.among = all_;
    ticket.prefix = prefix;
    return ticket;
  }
  std::optional<BackendId> home(const Ticket& ticket) const {
    return balancer_.home(ticket, prefixes_.find(ticket.prefix, ticket.among));
  }

  SchedulerOptions options_;
  Fleet fleet_{options_};
  Turns turns_{fleet_};
  PrefixIndex prefixes_;
  Balancer balancer_{options_, fleet_, turns_};
  const BackendSet all_ = BackendSet::first(3);
  const PrefixChain passage_{std::string(4000, 'a'), 0};
};

TEST_F(Balancing, TakesTheOneWithTheFewestInFlight) {
  load(0, 2), load(1, 1), load(2, 3);
  EXPECT_EQ(balancer_.least_loaded(all_, &Backend::has_room), 1u);
  EXPECT_EQ(balancer_.least_loaded(all_ - only(1), &Backend::has_room), 0u);
}

TEST_F(Balancing, TakesTurnsAmongEquals) {
  for (const BackendId expected : {0u, 1u, 2u, 0u}) {
    EXPECT_EQ(balancer_.least_loaded(all_, &Backend::has_room), expected);
  }
}

TEST_F(Balancing, FindsNoneWhenNoneMeetsTheCondition) {
  for (BackendId id = 0; id < 3; ++id) load(id, 100);
  EXPECT_EQ(balancer_.least_loaded(all_, &Backend::has_room), std::nullopt);
  EXPECT_TRUE(balancer_.least_loaded(all_, &Backend::is_ready));
}

TEST_F(Balancing, AvoidsBackendsThatHaveFailedTheTicketUnlessNoOtherServes) {
  Ticket ticket = asking_for({});
  ticket.avoid = only(0);
  EXPECT_EQ(balancer_.candidates(ticket), all_ - only(0));
  fleet_.set_up(1, false, kNow);
  fleet_.set_up(2, false, kNow);
  EXPECT_EQ(balancer_.candidates(ticket), all_);
}

TEST_F(Balancing, PrefersTheHolderOfABeginningUntilItIsFarBusier) {
  const Ticket ticket = asking_for(passage_);
  EXPECT_EQ(home(ticket), std::nullopt) << "nobody holds it";
  prefixes_.sent(passage_, 1000, 1);
  EXPECT_EQ(home(ticket), 1u);
  load(1, 32);
  EXPECT_EQ(home(ticket), 1u);
  load(1, 1);
  EXPECT_EQ(home(ticket), std::nullopt);
  load(0, 22), load(2, 22);
  EXPECT_EQ(home(ticket), 1u) << "the others have enough to do";
}

TEST_F(Balancing, LetsABeginningSpreadThatMuchOfAllAsksFor) {
  prefixes_.sent(passage_, 1000, 1);
  const std::uint64_t beginning = prefixes_.find(passage_, all_).beginning;
  load(0, 8), load(1, 13), load(2, 8);
  turns_.sharing().on_submitted(beginning, 8);
  EXPECT_EQ(home(asking_for(passage_)), 1u);
  turns_.sharing().on_submitted(beginning, 1);
  EXPECT_EQ(home(asking_for(passage_)), std::nullopt) << "nearly a third is its own";
  turns_.sharing().on_ended(beginning, 1);
  EXPECT_EQ(home(asking_for(passage_)), 1u);
}

TEST_F(Balancing, LeavesABeginningThatManyHaveToTurns) {
  prefixes_.sent(passage_, 1000, 1);
  const std::uint64_t beginning = prefixes_.find(passage_, all_).beginning;
  load(0, 4), load(1, 4), load(2, 4);
  turns_.sharing().on_submitted(beginning, 4);
  EXPECT_EQ(home(asking_for(passage_)), 1u);
  turns_.sharing().on_submitted(beginning, 1);
  EXPECT_EQ(home(asking_for(passage_)), std::nullopt) << "more than two fifths of 12";
}

TEST_F(Balancing, GivesShortPromptsToBackendsInTurnWhileNoneIsFarBusier) {
  Ticket ticket = asking_for({});
  ticket.short_answer = true;
  load(0, 6), load(1, 4), load(2, 8);
  for (const BackendId expected : {0u, 1u, 0u, 1u}) {
    EXPECT_EQ(balancer_.next_in_turn(ticket, all_), expected) << "4 and three quarters of 6 - 2";
  }
  load(2, 1);
  load(0, 5), load(1, 5);
  for (const BackendId expected : {2u, 0u, 1u, 2u}) {
    EXPECT_EQ(balancer_.next_in_turn(ticket, all_), expected);
  }
  EXPECT_EQ(balancer_.next_in_turn(ticket, only(1) | only(2)), 1u);
  load(2, 100);
  EXPECT_EQ(balancer_.next_in_turn(ticket, only(1) | only(2)), 1u) << "the other has no room";
}

TEST_F(Balancing, GivesNoMoreToOneThatHasAPromptWhileAnotherHasNone) {
  Ticket ticket = asking_for({});
  ticket.short_answer = true;
  load(0, 1), load(1, 1);
  EXPECT_EQ(balancer_.next_in_turn(ticket, all_), 2u);
  EXPECT_EQ(balancer_.next_in_turn(ticket, all_), 2u);
}

TEST_F(Balancing, KnowsNoTurnsOfLongAnswersAndWherePromptsBeginAlike) {
  Ticket ticket = asking_for(passage_);
  load(0, 4), load(1, 4), load(2, 4);
  EXPECT_EQ(balancer_.next_in_turn(ticket, all_), std::nullopt) << "its answer is long";
  ticket.short_answer = true;
  EXPECT_TRUE(balancer_.next_in_turn(ticket, all_));
  for (int i = 0; i < 64; ++i) turns_.sharing().on_submitted(9, 1);
  ticket.beginning = 7;
  turns_.sharing().on_submitted(7, 4);
  EXPECT_EQ(balancer_.next_in_turn(ticket, all_), std::nullopt);
  turns_.sharing().on_submitted(7, 100);
  EXPECT_TRUE(balancer_.next_in_turn(ticket, all_)) << "most have its beginning";
}

TEST_F(Balancing, PlacesANewBeginningWhereTheFewestWerePlacedOfLate) {
  const Ticket ticket = asking_for(passage_);
  Sharing& sharing = turns_.sharing();
  sharing.on_sent(0, true), sharing.on_sent(2, true);
  load(1, 3);
  EXPECT_EQ(home(ticket), std::nullopt) << "prompts do not begin alike here";
  for (int i = 0; i < 64; ++i) sharing.on_submitted(7, 1);
  EXPECT_EQ(home(ticket), 1u) << "although it has more in flight";
  load(1, 1);
  EXPECT_EQ(home(ticket), 0u) << "it is slower than the others";
  load(0, 100), load(1, 96), load(2, 97);
  EXPECT_EQ(home(ticket), 2u) << "the others have no room";
}

TEST_F(Balancing, TakesTheLeastBusyOfSeveralHolders) {
  prefixes_.sent(passage_, 1000, 1);
  prefixes_.sent(passage_, 1000, 2);
  load(1, 5);
  EXPECT_EQ(home(asking_for(passage_)), 2u);
}

TEST_F(Balancing, LooksForNoHolderWithoutAffinityOrWhereTheRoomIsNotLookedAt) {
  prefixes_.sent(passage_, 1000, 1);
  options_.affinity = false;
  EXPECT_EQ(home(asking_for(passage_)), std::nullopt);
  options_.affinity = true;
  options_.policy = FlushPolicy::kFixed;
  EXPECT_EQ(home(asking_for(passage_)), std::nullopt);
}

}  // namespace
}  // namespace batchproxy
