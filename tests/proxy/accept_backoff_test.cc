// tests/proxy/accept_backoff_test.cc - pauses and log lines when accepting fails.
#include "proxy/limits/accept_backoff.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TEST(AcceptBackoff, DoublesItsPauseUpToASecondAndStartsAgain) {
  AcceptBackoff trouble;
  EXPECT_EQ(trouble.pause(), 100ms);
  EXPECT_EQ(trouble.pause(), 200ms);
  EXPECT_EQ(trouble.pause(), 400ms);
  EXPECT_EQ(trouble.pause(), 800ms);
  EXPECT_EQ(trouble.pause(), 1s);
  EXPECT_EQ(trouble.pause(), 1s);
  trouble.over();
  EXPECT_EQ(trouble.pause(), 100ms);
}

TEST(AcceptBackoff, SaysSoOnceInTenSeconds) {
  AcceptBackoff trouble;
  const TimePoint now = TimePoint() + 1h;
  EXPECT_TRUE(trouble.may_log(now));
  EXPECT_FALSE(trouble.may_log(now + 9s));
  EXPECT_TRUE(trouble.may_log(now + 10s));
}

}  // namespace
}  // namespace batchproxy
