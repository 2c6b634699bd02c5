// tests/batcher/scheduler_fault_test.cc - whose fault the Scheduler takes an error for: the
// request's or the backend's.
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

class WhoseFault : public ProspectsFixture {};

TEST_F(WhoseFault, NeverOpenABreakerForOneClientsErrorsWhileOthersSucceed) {
  start(2, patient());
  for (int i = 0; i < 200; ++i) {
    const Duration now = i * 1s;
    Ticket& bad = submit_of(1, now, only({0}));
    Ticket& good = submit_of(2, now, only({0}));
    take(now);
    complete(bad, Outcome::kServerError, now + 500ms);
    complete(good, Outcome::kGood, now + 500ms);
    // Asked elsewhere, half of them are answered.
    Ticket& again = submit_of(1, now, only({1}));
    take(now + 500ms);
    again.verdict.refutes = only({0});
    complete(again, i % 2 == 0 ? Outcome::kGood : Outcome::kServerError, now + 600ms);
    ASSERT_FALSE(scheduler_->breaker_open(0)) << i;
    ASSERT_FALSE(scheduler_->breaker_open(1)) << i;
  }
}

TEST_F(WhoseFault, OpenTheBreakerOfABackendWhoseErrorsAnotherRefutes) {
  start(2, patient());
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(scheduler_->breaker_open(0));
    Ticket& bad = submit(i * 1s, only({0}));
    take(i * 1s);
    complete(bad, Outcome::kServerError, i * 1s);
    Ticket& again = submit(i * 1s, only({1}));
    take(i * 1s);
    again.verdict.refutes = only({0});
    complete(again, Outcome::kGood, i * 1s);
  }
  EXPECT_TRUE(scheduler_->breaker_open(0));
  EXPECT_FALSE(scheduler_->breaker_open(1));
}

}  // namespace
}  // namespace batchproxy
