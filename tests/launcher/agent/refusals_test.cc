// tests/launcher/agent/refusals_test.cc - which refusals of agents are told.
#include "launcher/agent/refusals.h"

#include <chrono>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TEST(Refusals, TellsAReasonOnceAMinute) {
  Refusals refusals;
  const TimePoint start{};
  EXPECT_EQ(refusals.tell("from a (node n1, engine-0)", "no token", start),
            "refused an agent from a (node n1, engine-0): no token");
  EXPECT_EQ(refusals.tell("from b (node n2, engine-1)", "no token", start + 1s), "");
  EXPECT_EQ(refusals.tell("from b (node n2, engine-1)", "an old version", start + 1s),
            "refused an agent from b (node n2, engine-1): an old version");
  EXPECT_EQ(refusals.tell("from c (node n2, engine-2)", "no token", start + 59s), "");
  EXPECT_EQ(refusals.tell("from c (node n2, engine-2)", "no token", start + 60s),
            "refused an agent from c (node n2, engine-2), and 2 more of the same kind before: no "
            "token");
  EXPECT_EQ(refusals.tell("from c (node n2, engine-2)", "no token", start + 61s), "");
}

TEST(Refusals, IsNotFilledByStrangers) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_NE(refusals.tell("from x", "reason " + std::to_string(i), TimePoint()), "");
  }
}

}  // namespace
}  // namespace batchproxy
