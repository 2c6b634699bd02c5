// tests/sim/front_end_test.cc - one event loop, first come, first served.
#include "backends/sim/model/front_end.h"

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

constexpr FrontEndCosts kCosts{/*per_call=*/10, /*per_prompt=*/100, /*per_token=*/1};

TEST(FrontEnd, SplitsTheCostOfACallBeforeAndAfterTheEngine) {
  FrontEnd loop(kCosts);
  EXPECT_DOUBLE_EQ(loop.accept_call(0), 6);
  EXPECT_DOUBLE_EQ(loop.accept_prompt(0), 86);
  EXPECT_DOUBLE_EQ(loop.finish_prompt(1000, 7), 1027);
  EXPECT_DOUBLE_EQ(loop.finish_call(1000), 1031);
}

TEST(FrontEnd, WorkWaitsForTheWorkBeforeIt) {
  FrontEnd loop(kCosts);
  loop.accept_call(0);
  EXPECT_DOUBLE_EQ(loop.accept_call(1), 12);
  EXPECT_DOUBLE_EQ(loop.accept_call(100), 106);
}

TEST(FrontEnd, AStreamedTokenCostsTwice) {
  FrontEnd loop(kCosts);
  EXPECT_DOUBLE_EQ(loop.send_chunk(0), 2);
}

}  // namespace
}  // namespace batchproxy::sim
