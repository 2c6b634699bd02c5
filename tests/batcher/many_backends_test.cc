// tests/batcher/many_backends_test.cc - more backends than a word has bits, or several words.
#include <algorithm>
#include <deque>

#include "batcher/lane_core.h"
#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kMany = 70;

class ManyBackends : public SchedulerFixture {
 protected:
  ManyBackends() {
    start({.policy = FlushPolicy::kEager, .batch_size = 1}, kMany, {.max_num_seqs = 4});
  }
  Ticket& submit(BackendSet backends) {
    Ticket& made = ticket(0ms);
    made.backends = backends;
    scheduler_->submit(made);
    return made;
  }
};

TEST_F(ManyBackends, EachGetsOneOfAsManyRequests) {
  for (std::uint32_t i = 0; i < kMany; ++i) submit(all_);
  BackendSet asked;
  for (const Ticket* granted : take(0ms)) asked.insert(granted->verdict.backend);
  EXPECT_EQ(asked, all_);
}

TEST_F(ManyBackends, TheLastGetsWhatItAloneServes) {
  const BackendSet last = all_ - BackendSet::first(kMany - 1);
  Ticket& only = submit(last);
  EXPECT_EQ(take(0ms).size(), 1u);
  EXPECT_EQ(only.verdict.backend, kMany - 1);
}

TEST_F(ManyBackends, OneThatHasFailedARequestDoesNotGetItAgain) {
  const BackendSet two = all_ - BackendSet::first(kMany - 2);
  Ticket& retry = ticket(0ms);
  retry.backends = two;
  retry.avoid.insert(kMany - 2);
  scheduler_->submit(retry);
  EXPECT_EQ(take(0ms).size(), 1u);
  EXPECT_EQ(retry.verdict.backend, kMany - 1);
}

TEST(MostBackends, AreAllAskedAtTheEdgesOfTheirSetsWordsToo) {
  constexpr std::uint32_t kAll = BackendSet::kMax;
  LaneCore lane({.policy = FlushPolicy::kEager, .batch_size = 1});
  lane.add_handle();
  for (BackendId id = 0; id < kAll; ++id) {
    lane.add_backend(id, {.max_num_seqs = 1});
    lane.set_up(id, true);
  }
  std::deque<Ticket> tickets(kAll + 1);
  for (Ticket& ticket : tickets) {
    ticket.arrival = at(0ms);
    ticket.deadline = at(600s);
    ticket.backends = BackendSet::first(kAll);
    lane.handle(LaneMessage::submit(ticket), at(0ms));
  }
  BackendSet asked;
  for (const Ticket* granted : lane.decide(at(0ms))) asked.insert(granted->verdict.backend);
  EXPECT_EQ(asked, BackendSet::first(kAll)) << "one each, and one waits";
  const auto inflight = [&lane](BackendId id) { return lane.stats().inflight[id].load(); };
  for (const BackendId id : {0u, 63u, 64u, 127u, 128u, 255u}) EXPECT_EQ(inflight(id), 1u) << id;
  const auto on_last = std::ranges::find_if(
      tickets, [](const Ticket& ticket) { return ticket.verdict.backend == kAll - 1; });
  ASSERT_NE(on_last, tickets.end());
  lane.handle(LaneMessage::complete(*on_last, Outcome::kGood, {}), at(1ms));
  EXPECT_EQ(lane.decide(at(1ms)).size(), 1u);
  EXPECT_EQ(tickets.back().verdict.backend, kAll - 1) << "where there is room";
  EXPECT_EQ(inflight(kAll - 1), 1u);
  lane.set_up(64, false);
  lane.decide(at(2ms));
  for (Ticket& ticket : tickets) {
    if (&ticket != &*on_last)
      lane.handle(LaneMessage::complete(ticket, Outcome::kGood, {}), at(3ms));
  }
  lane.decide(at(3ms));
  for (BackendId id = 0; id < kAll; ++id) EXPECT_EQ(inflight(id), 0u) << id;
}

}  // namespace
}  // namespace batchproxy
