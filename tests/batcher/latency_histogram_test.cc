// tests/batcher/latency_histogram_test.cc - LatencyHistogram: quantiles, and a part of it.
#include "batcher/base/latency_histogram.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TEST(LatencyHistogram, EstimatesQuantilesWithinABucket) {
  LatencyHistogram times;
  EXPECT_EQ(times.quantile(0.5), 0);
  for (int i = 0; i < 90; ++i) times.observe(70ms);  // in (0.05, 0.1]
  for (int i = 0; i < 10; ++i) times.observe(3s);    // in (2.5, 5]
  EXPECT_GT(times.quantile(0.5), 0.05);
  EXPECT_LE(times.quantile(0.5), 0.1);
  EXPECT_GT(times.quantile(0.95), 2.5);
  EXPECT_LE(times.quantile(0.95), 5);
}

TEST(LatencyHistogram, TellsTheLastBoundForWhatIsBeyondAllBounds) {
  LatencyHistogram times;
  times.observe(1h);
  EXPECT_EQ(times.quantile(0.5), 480);
}

TEST(LatencyHistogram, KnowsWhatHasComeSince) {
  LatencyHistogram times;
  times.observe(1s);
  const LatencyHistogram earlier = times;
  times.observe(10ms);
  times.observe(10ms);
  EXPECT_EQ(times.since(earlier).total(), 2u);
  EXPECT_LE(times.since(earlier).quantile(0.99), 0.01);
  LatencyHistogram anew;
  anew.observe(10ms);
  EXPECT_EQ(anew.since(times).total(), 1u) << "it has begun anew";
}

}  // namespace
}  // namespace batchproxy
