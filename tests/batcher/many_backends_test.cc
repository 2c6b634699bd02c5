// tests/batcher/many_backends_test.cc - more backends than a word has bits.
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

}  // namespace
}  // namespace batchproxy
