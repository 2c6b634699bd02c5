// tests/fault_sim/fault_sim_test.cc - thousands of random histories full of faults, in which
// nothing may be lost, invented or forgotten.
//
//   BATCHPROXY_SIM_SEEDS=500 fault_sim_tests    so many histories
//   BATCHPROXY_SIM_SEED=1234 fault_sim_tests    that one, told event by event
#include <cstdlib>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/fault_sim/virtual_time.h"
#include "tests/fault_sim/world.h"

namespace batchproxy::fault_sim {
namespace {

#ifdef NDEBUG
constexpr std::uint64_t kSeeds = 2000, kLarge = 10;
#else
constexpr std::uint64_t kSeeds = 200, kLarge = 4;
#endif

TEST(FaultSim, EveryHistoryKeepsTheRules) {
  if (const char* one = std::getenv("BATCHPROXY_SIM_SEED")) {
    ASSERT_NO_THROW(live_through(std::stoull(one), true));
    return;
  }
  const char* wanted = std::getenv("BATCHPROXY_SIM_SEEDS");
  const std::uint64_t seeds = wanted ? std::stoull(wanted) : kSeeds;
  Tally sum;
  int failures = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failures < 10; ++seed) {
    try {
      sum.add(live_through(seed, false));
    } catch (const Violation& violation) {
      ++failures;
      ADD_FAILURE() << violation.what() << "\n  its history: BATCHPROXY_SIM_SEED=" << seed
                    << " fault_sim_tests";
    }
  }
  std::cout << seeds << " histories: " << sum.requests << " requests, " << sum.ok << " answered, "
            << sum.retried << " retries, " << sum.suspects << " alone, " << sum.cancelled
            << " left, " << sum.crashes << " crashes, " << sum.reloads << " reloads, " << sum.drains
            << " drains, " << sum.beside << " asked beside, " << sum.merged << " merged calls, "
            << sum.split << " halved\n";
  // The rules would hold in empty histories too.
  EXPECT_GT(sum.ok, 50 * seeds);
  EXPECT_GT(sum.retried, seeds);
  EXPECT_GT(sum.beside, seeds / 40);
  EXPECT_GT(sum.merged, seeds);
  EXPECT_GT(sum.split, seeds / 2);
}

// More backends than a word has bits, most of which come and go with a reload.
TEST(FaultSim, HistoriesOfTwoHundredEnginesKeepThemToo) {
  Tally sum;
  for (std::uint64_t seed = 1; seed <= kLarge; ++seed) {
    ASSERT_NO_THROW(sum.add(live_through(seed, false, {.servers = 200, .clients = 400}))) << seed;
  }
  std::cout << kLarge << " large histories: " << sum.requests << " requests, " << sum.ok
            << " answered, " << sum.retried << " retries, " << sum.crashes << " crashes, "
            << sum.reloads << " reloads\n";
  EXPECT_GT(sum.ok, 1000 * kLarge);
  EXPECT_GT(sum.crashes + sum.retried, kLarge);
}

}  // namespace
}  // namespace batchproxy::fault_sim
