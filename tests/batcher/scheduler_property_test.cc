// tests/batcher/scheduler_property_test.cc - what holds in every history, over a hundred thousand
// random ones: each ticket ends exactly once, nothing waits that could go, nothing is too large,
// and nothing is lost on the way.
#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "batcher/base/enum_table.h"
#include "batcher/scheduler.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kBackends = 3, kSeqs = 3, kBatch = 4;
constexpr Duration kTimeout = 100ms;

const std::array<PrefixChain, 3>& passages() {
  static const std::array<PrefixChain, 3> chains{PrefixChain(std::string(2000, 'a'), 0),
                                                 PrefixChain(std::string(2000, 'b'), 0),
                                                 PrefixChain(std::string(2000, 'c'), 0)};
  return chains;
}

// One random history.
class History {
 public:
  History(FlushPolicy policy, unsigned seed)
      : random_(seed),
        policy_(policy),
        scheduler_({.policy = policy,
                    .batch_size = kBatch,
                    .batch_timeout = kTimeout,
                    .max_queue = 30,
                    .hold_timeout = std::chrono::milliseconds(any(2000)),
                    .affinity = any(4) != 0,
                    .merge = static_cast<MergePolicy>(any(3))}) {
    for (BackendId id = 0; id < kBackends; ++id) {
      scheduler_.add_backend(
          id, {.max_num_seqs = kSeqs, .kv_tokens = any(2) * 500, .exact_usage = any(2) == 0});
      ready_[id] = any(4) != 0;
      scheduler_.set_up(id, ready_[id]);
    }
  }

  void run(int events) {
    for (int i = 0; i < events && !testing::Test::HasFatalFailure(); ++i) {
      now_ += std::chrono::milliseconds(any(3) == 0 ? any(70) : 0);
      event();
      settle();
    }
    if (testing::Test::HasFatalFailure()) return;
    now_ += 1h;  // past every deadline
    settle();
    ASSERT_TRUE(open_.empty());
    ASSERT_EQ(scheduler_.queued(), 0u);
    ASSERT_EQ(submitted_, ended_ + flying_.size());
    for (const Ticket* ticket : flying_) complete(*ticket);
    for (BackendId id = 0; id < kBackends; ++id) ASSERT_EQ(scheduler_.inflight(id), 0u);
  }

 private:
  std::uint32_t any(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }

  void event() {
    switch (any(10)) {
      case 0: {
        const BackendId id = any(kBackends);
        ready_[id] = any(3) != 0;
        scheduler_.set_up(id, ready_[id]);
        break;
      }
      case 1: {
        const auto id = any(kBackends);
        std::optional<EngineSample> sample;
        if (any(5) != 0) {
          sample = EngineSample{.running = static_cast<double>(any(4)),
                                .waiting = static_cast<double>(any(30)),
                                .preemptions = any(3),
                                .steps = steps_ += any(10)};
        }
        scheduler_.observe(id, sample, now_);
        break;
      }
      case 2:
      case 3:
      case 4:
        if (!flying_.empty()) {
          const auto it = flying_.begin() + any(static_cast<std::uint32_t>(flying_.size()));
          Ticket* ticket = *it;
          flying_.erase(it);
          const bool failed = any(4) == 0;
          complete(*ticket, failed ? static_cast<Outcome>(any(6)) : Outcome::kGood,
                   any(20) == 0 ? 200ms : 0ms);
          ++ended_;
          if (failed && any(2) == 0) {  // once more
            ticket->avoid.insert(ticket->verdict.backend);
            ticket->costs_budget = any(2) == 0;
            ticket->suspect = any(3) == 0;
            if (ticket->suspect) ticket->mergeable = Mergeable::kNever;
            submit(*ticket);
          }
        }
        break;
      case 5:
        // Refused ones are still open here, but not queued any more: cancel() says which.
        if (!open_.empty() && scheduler_.cancel(*open_.front())) {
          open_.erase(open_.begin());
          ++ended_;
        }
        break;
      default:
        submit(fresh());
    }
  }

  Ticket& fresh() {
    Ticket& ticket = tickets_.emplace_back();
    ticket.arrival = now_;
    ticket.deadline = now_ + std::chrono::milliseconds(150 + any(3000));
    ticket.backends =
        any(3) == 0 ? BackendSet::first(1 + any(kBackends)) : BackendSet::first(kBackends);
    ticket.prompts = any(8) == 0 ? 1 + any(7) : 1;
    ticket.streaming = any(10) == 0;
    ticket.client = any(3);
    ticket.tokens = 100;
    if (any(3) != 0) ticket.prefix = passages()[any(3)];
    if (ticket.prompts == 1 && !ticket.streaming && any(3) != 0) {
      ticket.mergeable = Mergeable::kCompletion;
      ticket.short_answer = any(2) == 0;
      ticket.identity = any(2);
    }
    return ticket;
  }

  void submit(Ticket& ticket) {
    open_.push_back(&ticket);
    ++submitted_;
    scheduler_.submit(ticket);
  }

  void complete(const Ticket& ticket, Outcome outcome = Outcome::kGood, Duration pause = {}) {
    scheduler_.complete(ticket.verdict, ticket.prompts, outcome, now_, pause);
    if (ticket.verdict.alone) alone_ = nullptr;
  }

  void settle() {
    std::vector<Ticket*> decided;
    std::array<std::uint32_t, kBackends> before{};
    for (BackendId id = 0; id < kBackends; ++id) before[id] = scheduler_.inflight(id);
    scheduler_.take(now_, decided);
    std::map<std::uint64_t, std::uint32_t> batches;
    for (std::size_t i = 0; i < decided.size(); ++i) {
      Ticket* ticket = decided[i];
      const auto it = std::find(open_.begin(), open_.end(), ticket);
      ASSERT_NE(it, open_.end()) << "decided twice, or after its cancellation";
      open_.erase(it);
      if (ticket->verdict.refused) {
        ++ended_;
        continue;
      }
      const Verdict& verdict = ticket->verdict;
      ASSERT_TRUE(ready_[verdict.backend]);
      ASSERT_TRUE(ticket->backends.contains(verdict.backend));
      if (alone_ != nullptr) {
        ASSERT_NE(verdict.backend, alone_->verdict.backend) << "a suspect has company";
      }
      ASSERT_EQ(verdict.alone, ticket->suspect);
      if (ticket->suspect) {
        ASSERT_EQ(alone_, nullptr) << "two suspects at a time";
        ASSERT_EQ(scheduler_.inflight(verdict.backend), ticket->prompts) << "a suspect has company";
        alone_ = ticket;
      }
      ASSERT_LE(verdict.batch.prompts, std::max(kBatch, ticket->prompts));
      batches[verdict.batch.id] += ticket->prompts;
      flying_.push_back(ticket);
      for (std::size_t follower = 0; follower < verdict.followers.size(); ++follower) {
        ASSERT_EQ(decided[i + 1 + follower], verdict.followers[follower]);
        ASSERT_TRUE(verdict.followers[follower]->verdict.is_follower);
        ASSERT_EQ(verdict.followers[follower]->identity, ticket->identity);
        ASSERT_EQ(verdict.followers[follower]->verdict.batch.id, verdict.batch.id);
      }
    }
    for (const Ticket* ticket : decided) {
      if (ticket->verdict.refused) continue;
      ASSERT_EQ(batches[ticket->verdict.batch.id], ticket->verdict.batch.prompts);
      if (policy_ == FlushPolicy::kEager) check_order(*ticket);
    }
    if (policy_ == FlushPolicy::kEager) check_nothing_waits_needlessly();
  }

  // Nobody was overtaken by a later request of its own client that the same backends may serve, at
  // the backend that took that one, unless it waits for others to share its call, for another
  // backend's cache, or has done so until it was overdue.
  void check_order(const Ticket& granted) {
    for (const Ticket* waiting : open_) {
      if (waiting->client != granted.client || waiting->among != granted.among) continue;
      if (waiting->suspect || granted.suspect) continue;
      const bool goes_alone = granted.mergeable == Mergeable::kNever || !granted.short_answer;
      if (waiting->mergeable != Mergeable::kNever && goes_alone) continue;
      if (waiting->affine && *waiting->affine != granted.verdict.backend) continue;
      if (waiting->verdict.refused || waiting->arrival + kTimeout <= now_) continue;
      // With less time left than the other needs an answer of this backend, it waits for another.
      const Duration needed = scheduler_.usual(granted.verdict.backend);
      if (waiting->deadline - now_ < needed || waiting->late) continue;
      ASSERT_FALSE(waiting->turn < granted.turn && waiting->arrival < granted.arrival)
          << "an older one of its client waits";
    }
  }

  void check_nothing_waits_needlessly() {
    for (const Ticket* ticket : open_) {
      if (ticket->arrival + kTimeout > now_ || ticket->suspect) continue;
      for (BackendId id = 0; id < kBackends; ++id) {
        const bool could_go =
            ticket->among.contains(id) && scheduler_.inflight(id) < scheduler_.max_inflight(id);
        ASSERT_FALSE(could_go) << "an overdue ticket waits although backend " << id
                               << " is below its limit";
      }
    }
  }

  std::mt19937 random_;
  const FlushPolicy policy_;
  std::deque<Ticket> tickets_;  // outlives the scheduler, which links them
  Scheduler scheduler_;
  std::array<bool, kBackends> ready_{};
  std::vector<Ticket*> open_;      // submitted, no verdict yet; by submission
  std::vector<Ticket*> flying_;    // granted
  const Ticket* alone_ = nullptr;  // the suspect among them
  std::uint64_t submitted_ = 0, ended_ = 0, steps_ = 0;
  TimePoint now_ = TimePoint() + 1h;
};

class Property : public testing::TestWithParam<FlushPolicy> {};

TEST_P(Property, HoldsInEveryHistory) {
  for (unsigned seed = 0; seed < 35000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    History(GetParam(), seed).run(40);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Property, HoldsInLongHistories) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    History(GetParam(), 1000000 + seed).run(3000);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, Property, testing::ValuesIn(kAll<FlushPolicy>),
                         [](const auto& policy) { return std::string(to_string(policy.param)); });

}  // namespace
}  // namespace batchproxy
