// tests/backends/answer_head_test.cc - how long an answer asks its client to wait.
#include "backends/call/answer_head.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TEST(WaitAskedFor, IsWhatABusyAnswerSays) {
  for (const unsigned status : {429u, 503u}) {
    EXPECT_EQ(wait_asked_for({.status = status, .retry_after = "7"}), Duration(7s));
    EXPECT_EQ(wait_asked_for({.status = status, .retry_after = "0.25"}), Duration(250ms));
    EXPECT_EQ(wait_asked_for({.status = status, .retry_after_ms = "1500"}), Duration(1500ms));
    EXPECT_EQ(wait_asked_for({.status = status}), Duration());
  }
}

TEST(WaitAskedFor, IsNothingForAnyOtherAnswer) {
  for (const unsigned status : {200u, 202u, 301u, 404u, 500u, 502u, 504u}) {
    EXPECT_EQ(wait_asked_for({.status = status, .retry_after = "7", .retry_after_ms = "7000"}),
              Duration())
        << status;
  }
}

TEST(WaitAskedFor, GoesByTheMillisecondsIfThereAreAny) {
  EXPECT_EQ(wait_asked_for({.status = 429, .retry_after = "7", .retry_after_ms = "20"}),
            Duration(20ms));
  for (const char* none : {"", "0", "-5", "soon", "nan"}) {
    EXPECT_EQ(wait_asked_for({.status = 429, .retry_after = "7", .retry_after_ms = none}),
              Duration(7s))
        << none;
  }
}

TEST(WaitAskedFor, DoesNotTakeForANumberWhatIsNone) {
  for (const char* text : {"0", "-1", "soon", "7 s", "7,5", " 7", "0x10", "nan", "-inf",
                           "Wed, 21 Oct 2015 07:28:00 GMT"}) {
    EXPECT_EQ(wait_asked_for({.status = 503, .retry_after = text}), Duration()) << text;
  }
}

TEST(WaitAskedFor, DoesNotOverflow) {
  for (const char* text : {"1e300", "99999999999999999999999", "inf"}) {
    const Duration wait = wait_asked_for({.status = 503, .retry_after = text});
    EXPECT_GT(wait, Duration(1h)) << text;
    EXPECT_LE(wait, Duration(1000000s)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
