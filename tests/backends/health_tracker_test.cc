// tests/backends/health_tracker_test.cc - whom HealthTracker believes, and how fast.
#include "backends/health_tracker.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(HealthTracker, StartsUnknownAndBecomesReadyWithTheFirstGoodProbe) {
  HealthTracker tracker;
  EXPECT_EQ(tracker.health(), Health::kUnknown);
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kOk));
  EXPECT_EQ(tracker.health(), Health::kReady);
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kOk));
}

TEST(HealthTracker, BelievesARefusalAtOnce) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk);
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kRefused));
  EXPECT_EQ(tracker.health(), Health::kUnready);
}

TEST(HealthTracker, NeedsThreeSilencesInARow) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk);
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kOk));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent));
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kSilent));
  EXPECT_EQ(tracker.health(), Health::kUnready);
}

TEST(HealthTracker, BelievesACallThatFoundNobody) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk);
  EXPECT_TRUE(tracker.on_unreachable());
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kOk));
}

}  // namespace
}  // namespace batchproxy
