// tests/launcher/supervision/restart_policy_test.cc - when an engine that has ended starts again.
#include "launcher/supervision/restart_policy.h"

#include <chrono>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

double seconds(std::optional<Duration> delay) {
  return delay ? std::chrono::duration<double>(*delay).count() : -1;
}

TEST(RestartPolicy, WaitsTwiceAsLongEachTimeUpToAMinute) {
  RestartPolicy policy(true, 1);
  for (const double even : {1, 2, 4, 8, 16, 32, 60, 60, 60}) {
    EXPECT_NEAR(seconds(policy.on_ended({.up_for = 1s})), even, even * 0.2);
  }
}

TEST(RestartPolicy, TenMinutesUpAreForgiven) {
  RestartPolicy policy(true, 1);
  for (int i = 0; i < 4; ++i) policy.on_ended({.up_for = 1s});
  EXPECT_GT(seconds(policy.on_ended({.up_for = 9min})), 10);
  EXPECT_NEAR(seconds(policy.on_ended({.up_for = 10min})), 1, 0.2);
}

TEST(RestartPolicy, GivesUpOnAnEngineThatNeverCameUp) {
  RestartPolicy policy(true, 1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(policy.on_ended({}));
  EXPECT_FALSE(policy.on_ended({}));
  policy.on_ordered();
  EXPECT_NEAR(seconds(policy.on_ended({})), 1, 0.2) << "a person asks for another try";
}

TEST(RestartPolicy, GivesUpAtOnceOnACommandLineThatIsRefused) {
  RestartPolicy policy(true, 1);
  EXPECT_FALSE(policy.on_ended({.refuses_arguments = true}));
}

TEST(RestartPolicy, NeverGivesUpOnAnEngineThatWasUp) {
  RestartPolicy policy(true, 1);
  policy.on_ended({.up_for = 1s});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(policy.on_ended({}));
  EXPECT_TRUE(policy.on_ended({.refuses_arguments = true}));
}

TEST(RestartPolicy, RestartsNothingIfToldSo) {
  RestartPolicy policy(false, 1);
  EXPECT_FALSE(policy.on_ended({.up_for = 1h}));
}

TEST(RestartPolicy, SpreadsEnginesThatEndedTogether) {
  RestartPolicy first(true, 1), second(true, 2);
  EXPECT_NE(seconds(first.on_ended({})), seconds(second.on_ended({})));
}

}  // namespace
}  // namespace batchproxy
