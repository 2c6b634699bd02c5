// tests/batcher/scheduler_affinity_test.cc - prompts that begin alike, clients that take turns, and
// requests that share a call, in virtual time.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class PolicyTest : public SchedulerFixture {
 protected:
  Ticket& submit(Duration arrival, char passage = 0, std::uint64_t client = 0) {
    Ticket& made = ticket(arrival);
    made.client = client;
    made.tokens = 1000;
    if (passage != 0) {
      const std::string own = std::to_string(tickets_.size()) + std::string(400, 'q');
      made.prefix = PrefixChain(std::string(4000, passage) + own, 0);
    }
    scheduler_->submit(made);
    return made;
  }
  Ticket& submit_short(Duration arrival, std::uint64_t client = 0, std::uint64_t identity = 7) {
    Ticket& made = ticket(arrival);
    made.mergeable = Mergeable::kCompletion;
    made.short_answer = true;
    made.identity = identity;
    made.client = client;
    scheduler_->submit(made);
    return made;
  }
  // Makes backend 0 look as if its HTTP front end were the bottleneck.
  void bind_front_end() {
    for (int look = 1; look <= 2; ++look) {
      scheduler_->observe(0, EngineSample{}, at(Duration(250ms) * look));
    }
    ASSERT_TRUE(scheduler_->front_end_bound(0));
  }
};

using Affinity = PolicyTest;
using Turns = PolicyTest;
using Merging = PolicyTest;

TEST_F(Affinity, SendsWhatBeginsAlikeToTheBackendThatHasIt) {
  start({}, 4, {.max_num_seqs = 64});
  Ticket& first = submit(0ms, 'a');
  take(0ms);
  const BackendId home = first.verdict.backend;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ((submit(1ms, 'a'), take(1ms)).front()->verdict.backend, home);
  }
  EXPECT_NE((submit(2ms, 'b'), take(2ms)).front()->verdict.backend, home);
  EXPECT_EQ(scheduler_->gains().affine, 2u);
}

TEST_F(Affinity, DoesNotLetAHotPassageOverloadItsBackend) {
  start({}, 4, {.max_num_seqs = 64});
  for (int i = 0; i < 40; ++i) {
    submit(0ms, 'a');
    take(0ms);
  }
  for (BackendId id = 0; id < 4; ++id) EXPECT_NEAR(scheduler_->inflight(id), 10, 4);
}

TEST_F(Affinity, KeepsAPassageTogetherHoweverOftenItWasAskedFor) {
  start({}, 4, {.max_num_seqs = 64});
  const BackendId home = (submit(0ms, 'a'), take(0ms)).front()->verdict.backend;
  // The other backends have nothing to do: only what is asked for now decides.
  std::vector<Ticket*> elsewhere;
  for (char other = 'b'; scheduler_->inflight(home) < 8; ++other) {
    submit(0ms, other);
    Ticket& asked = *take(0ms).front();
    if (asked.verdict.backend != home) elsewhere.push_back(&asked);
  }
  for (Ticket* ticket : elsewhere) complete(*ticket);
  for (int i = 0; i < 200; ++i) {
    submit(1ms, 'a');
    Ticket& asked = *take(1ms).front();
    ASSERT_EQ(asked.verdict.backend, home) << "at most one more is in flight at a time";
    complete(asked);
  }
}

TEST_F(Affinity, CountsNeitherWhatHasBeenAnsweredNorWhatHasLeft) {
  start({.batch_timeout = 1h}, 2, {.max_num_seqs = 2});
  Ticket& first = submit(0ms, 'a');
  take(0ms);
  const BackendId home = first.verdict.backend;
  submit(0ms, 'a'), take(0ms);
  Ticket* flying = &first;
  for (int i = 0; i < 50; ++i) {
    Ticket& waiting = submit(1ms, 'a');
    ASSERT_THAT(take(1ms), IsEmpty()) << "not hot: it waits for its backend's cache";
    ASSERT_TRUE(scheduler_->cancel(waiting));
  }
  for (int i = 0; i < 50; ++i) {
    complete(*flying);
    Ticket& next = submit(2ms, 'a');
    flying = &next;
    ASSERT_THAT(take(2ms), ElementsAre(&next)) << "in the place of the one that was answered";
    ASSERT_EQ(next.verdict.backend, home);
  }
}

// They have come together: when they did, none was known to share anything.
TEST_F(Affinity, CountsABurstOnABeginningThatNobodyHadAsHot) {
  start({}, 4, {.max_num_seqs = 64});
  for (int i = 0; i < 40; ++i) submit(0ms, 'a');
  take(0ms);
  for (BackendId id = 0; id < 4; ++id) EXPECT_NEAR(scheduler_->inflight(id), 10, 4);
  EXPECT_GT(scheduler_->gains().affine, 4u) << "those that follow another go for its cache";
}

// The backend that failed it holds the longest part of its prompt: the prompt itself.
TEST_F(Affinity, ARetryGoesToAnotherThatHoldsItsPassage) {
  start({}, 3, {.max_num_seqs = 64});
  Ticket& first = submit(0ms, 'a');
  take(0ms);
  const BackendId home = first.verdict.backend;
  for (BackendId id = 0; id < 3; ++id) {
    if (id == home) continue;
    // Every other backend gets something, the next passage's holder included.
    submit(0ms, static_cast<char>('b' + id)), take(0ms);
  }
  Ticket& asked = submit(1ms, 'a');
  take(1ms);
  ASSERT_EQ(asked.verdict.backend, home);
  complete(asked, Outcome::kDied, 2ms);
  asked.avoid.insert(home);
  Ticket& other = submit(2ms, 'a');
  other.avoid.insert(home);
  take(2ms);
  const BackendId second = other.verdict.backend;
  ASSERT_NE(second, home);
  scheduler_->submit(asked);
  take(3ms);
  EXPECT_EQ(asked.verdict.backend, second);
}

TEST_F(Affinity, SpreadsNewPassagesEvenlyWhereManyAreShared) {
  start({}, 2, {.max_num_seqs = 64});
  int placed[2] = {};
  for (char passage = 'a'; passage <= 'z'; ++passage) {
    for (int i = 0; i < 4; ++i) {
      submit(0ms, passage);
      Ticket& asked = *take(0ms).front();
      if (i == 0) ++placed[asked.verdict.backend];
      // Backend 0 has always two more in flight, and is not slower for that.
      if (asked.verdict.backend != 0 || scheduler_->inflight(0) > 2) complete(asked);
    }
  }
  EXPECT_NEAR(placed[0], 13, 3)
      << "while sharing is not known to be common, the idle one gets them";
  EXPECT_NEAR(placed[1], 13, 3);
}

TEST_F(Affinity, WaitsForItsBackendButNotLongerThanBatchTimeout) {
  start({.batch_timeout = 500ms}, 2, {.max_num_seqs = 2});
  Ticket& holder = submit(0ms, 'a');
  take(0ms);
  const BackendId home = holder.verdict.backend;
  submit(0ms, 'a'), take(0ms);
  ASSERT_EQ(scheduler_->inflight(home), 2u);
  Ticket& waiting = submit(10ms, 'a');
  EXPECT_THAT(take(10ms), IsEmpty());
  EXPECT_THAT(take(509ms), IsEmpty());
  EXPECT_THAT(take(510ms), ElementsAre(&waiting));
  EXPECT_EQ(waiting.verdict.backend, home) << "beyond its room, since max_inflight allows it";
}

TEST_F(Affinity, GivesBackWhatWaitedForABackendThatFailed) {
  start({}, 2, {.max_num_seqs = 2});
  const BackendId home = (submit(0ms, 'a'), take(0ms)).front()->verdict.backend;
  submit(0ms, 'a'), take(0ms);
  Ticket& waiting = submit(10ms, 'a');
  EXPECT_THAT(take(10ms), IsEmpty());
  scheduler_->set_up(home, false);
  EXPECT_THAT(take(11ms), ElementsAre(&waiting));
  EXPECT_NE(waiting.verdict.backend, home);
}

TEST_F(Affinity, IsOffWhenItIsSwitchedOff) {
  start({.affinity = false}, 4, {.max_num_seqs = 64});
  for (int i = 0; i < 4; ++i) submit(0ms, 'a'), take(0ms);
  for (BackendId id = 0; id < 4; ++id) EXPECT_EQ(scheduler_->inflight(id), 1u);
}

TEST_F(Turns, AClientWithThousandsWaitingDelaysAnothersFirstRequestByOneBatchAtMost) {
  start({.batch_size = 16, .batch_timeout = 500ms}, 1, {.max_num_seqs = 8});
  for (int i = 0; i < 10000; ++i) submit(0ms, 0, 1);
  std::vector<Ticket*> flying = take(0ms);
  const auto grants_until_served = [&](Duration now, Ticket& newcomer) {
    std::size_t granted = 0;
    while (newcomer.verdict.batch.id == 0) {
      complete(*flying.front());
      flying.erase(flying.begin());
      for (Ticket* ticket : take(now)) {
        flying.push_back(ticket);
        ++granted;
      }
    }
    return granted;
  };
  Ticket& early = tickets_.emplace_back();
  early.arrival = at(1ms), early.deadline = at(600s), early.backends = all_, early.client = 2;
  scheduler_->submit(early);
  EXPECT_LE(grants_until_served(2ms, early), 16u);
  // And when all the old ones are overdue, which fills the backend to its limit.
  for (Ticket* ticket : take(10s)) flying.push_back(ticket);
  Ticket& late = tickets_.emplace_back();
  late.arrival = at(10s), late.deadline = at(600s), late.backends = all_, late.client = 3;
  scheduler_->submit(late);
  EXPECT_LE(grants_until_served(10s, late), 16u);
}

TEST_F(Turns, AreGivenBackByTicketsThatNobodyWaitsForAnyMore) {
  start({.batch_size = 16, .batch_timeout = 1h}, 1, {.max_num_seqs = 1});
  submit(0ms, 0, 9);
  std::vector<Ticket*> flying = take(0ms);
  std::vector<Ticket*> many;
  for (int i = 0; i < 1000; ++i) many.push_back(&submit(0ms, 0, 1));
  for (Ticket* ticket : many) ASSERT_TRUE(scheduler_->cancel(*ticket));
  for (std::uint64_t other = 2; other < 5; ++other) submit(1ms, 0, other), submit(1ms, 0, other);
  Ticket& again = submit(2ms, 0, 1);
  int others = 0;
  while (again.verdict.batch.id == 0) {
    complete(*flying.front());
    flying = take(3ms);
    ++others;
  }
  EXPECT_LE(others, 4) << "one of each of the others, and its own";
}

TEST_F(Turns, OfClientsThatNeverComeBackAreForgotten) {
  start({}, 1, {.max_num_seqs = 64});
  for (std::uint64_t client = 0; client < 50000; ++client) {
    submit(0ms, 0, client);
    complete(*take(0ms).front());
    tickets_.clear();
  }
  EXPECT_LT(scheduler_->clients(), 10000u);
}

TEST_F(Merging, LetsWhatGoesAlonePassWhileOthersGather) {
  start({.batch_size = 4, .merge = MergePolicy::kAlways}, 1, {.max_num_seqs = 64});
  for (std::uint32_t i = 0; i < Merger::kCalls; ++i) submit_short(0ms), take(0ms);
  Ticket& gathers = submit_short(1ms);
  EXPECT_THAT(take(1ms), IsEmpty());
  Ticket& alone = submit(2ms);
  EXPECT_THAT(take(2ms), ElementsAre(&alone));
  scheduler_->drain();
  EXPECT_THAT(take(3ms), ElementsAre(&gathers));
}

TEST_F(Merging, MergesShortAnswersWhileTheFrontEndIsTheBottleneck) {
  start({.batch_size = 4}, 1, {.max_num_seqs = 64, .exact_usage = true});
  std::vector<Ticket*> alone;
  for (int i = 0; i < 20; ++i) {
    submit_short(0ms);
    alone.push_back(take(0ms).front());
    EXPECT_THAT(alone.back()->verdict.followers, IsEmpty());
  }
  bind_front_end();
  for (int i = 0; i < 5; ++i) submit_short(600ms);
  EXPECT_THAT(take(600ms), IsEmpty()) << "enough calls are under way: others may join";
  for (int i = 0; i < 5; ++i) complete(*alone[static_cast<std::size_t>(i)]);
  const auto merged = take(601ms);
  ASSERT_THAT(merged, SizeIs(4));
  EXPECT_THAT(merged[0]->verdict.followers, ElementsAre(merged[1], merged[2], merged[3]));
  EXPECT_FALSE(merged[0]->verdict.is_follower);
  EXPECT_TRUE(merged[1]->verdict.is_follower);
  EXPECT_EQ(merged[0]->verdict.batch.prompts, 4u);
}

TEST_F(Merging, NeedsAnEngineWhoseUsageCanBeToldApart) {
  start({.batch_size = 4}, 1, {.max_num_seqs = 64, .exact_usage = false});
  for (int i = 0; i < 20; ++i) submit_short(0ms);
  take(0ms);
  bind_front_end();
  for (int i = 0; i < 5; ++i) submit_short(600ms);
  for (Ticket* ticket : take(600ms)) EXPECT_THAT(ticket->verdict.followers, IsEmpty());
}

TEST_F(Merging, AlwaysMergesWhateverIsThere) {
  start({.batch_size = 4, .merge = MergePolicy::kAlways}, 1, {.max_num_seqs = 64});
  for (int i = 0; i < 6; ++i) submit_short(0ms);
  const auto granted = take(0ms);
  ASSERT_THAT(granted, SizeIs(6));
  EXPECT_THAT(granted[0]->verdict.followers, SizeIs(3));
  EXPECT_THAT(granted[4]->verdict.followers, SizeIs(1));
}

TEST_F(Merging, NeverMixesRequestsThatDifferNorOvertakesWithinAClient) {
  start({.batch_size = 8, .merge = MergePolicy::kAlways}, 1, {.max_num_seqs = 64});
  Ticket& a1 = submit_short(0ms, 1, 7);
  Ticket& a2 = submit_short(0ms, 1, 8);
  Ticket& a3 = submit_short(0ms, 1, 7);  // behind one that cannot join
  Ticket& b1 = submit_short(0ms, 2, 7);
  const auto granted = take(0ms);
  EXPECT_THAT(a1.verdict.followers, ElementsAre(&b1));
  EXPECT_THAT(a2.verdict.followers, IsEmpty());
  EXPECT_THAT(a3.verdict.followers, IsEmpty());
  EXPECT_THAT(granted, ElementsAre(&a1, &b1, &a2, &a3));
}

TEST_F(Merging, FixedBatchesAreMergedOnlyWhenAlways) {
  for (const auto policy : {MergePolicy::kAuto, MergePolicy::kAlways}) {
    start({.policy = FlushPolicy::kFixed, .batch_size = 4, .merge = policy}, 1,
          {.max_num_seqs = 64, .exact_usage = true});
    for (int i = 0; i < 4; ++i) submit_short(0ms);
    const auto batch = take(0ms);
    ASSERT_THAT(batch, SizeIs(4));
    EXPECT_EQ(batch[0]->verdict.followers.size(), policy == MergePolicy::kAlways ? 3u : 0u);
    EXPECT_EQ(batch[0]->verdict.batch.id, batch[3]->verdict.batch.id);
  }
}

}  // namespace
}  // namespace batchproxy
