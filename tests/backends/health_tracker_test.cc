// tests/backends/health_tracker_test.cc - whom HealthTracker believes, and how fast.
#include "backends/health/health_tracker.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 10s;

TimePoint at(Duration since_start) {
  return TimePoint(since_start);
}

TEST(HealthTracker, StartsUnknownAndBecomesReadyWithTheFirstGoodProbe) {
  HealthTracker tracker;
  EXPECT_EQ(tracker.health(), Health::kUnknown);
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kOk, at(0s), kPatience));
  EXPECT_EQ(tracker.health(), Health::kReady);
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kOk, at(0s), kPatience));
}

TEST(HealthTracker, BelievesARefusalAtOnce) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk, at(0s), kPatience);
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kRefused, at(0s), kPatience));
  EXPECT_EQ(tracker.health(), Health::kUnready);
}

TEST(HealthTracker, BelievesSilenceWhenItHasLasted) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk, at(0s), kPatience);
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent, at(9s), kPatience));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kOk, at(9s), kPatience));
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent, at(18s), kPatience));
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kSilent, at(19s), kPatience));
  EXPECT_EQ(tracker.health(), Health::kUnready);
}

TEST(HealthTracker, CountsFromTheFirstProbeWhenThereWasNoGoodOne) {
  HealthTracker tracker;
  EXPECT_FALSE(tracker.on_probe(ProbeResult::kSilent, at(100s), kPatience));
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kSilent, at(110s), kPatience));
}

TEST(HealthTracker, GivesAProbeMoreTimeAfterASilenceAndWhileItIsNotReady) {
  HealthTracker tracker;
  EXPECT_EQ(tracker.probe_time(at(0s), 2s, kPatience), kPatience);
  tracker.on_probe(ProbeResult::kOk, at(0s), kPatience);
  EXPECT_EQ(tracker.probe_time(at(2s), 2s, kPatience), 2s);
  tracker.on_probe(ProbeResult::kSilent, at(4s), kPatience);
  EXPECT_EQ(tracker.probe_time(at(6s), 2s, kPatience), 4s);
  EXPECT_EQ(tracker.probe_time(at(9s), 2s, kPatience), 2s);
  tracker.on_probe(ProbeResult::kOk, at(10s), kPatience);
  EXPECT_EQ(tracker.probe_time(at(12s), 2s, kPatience), 2s);
}

TEST(HealthTracker, BelievesACallThatFoundNobody) {
  HealthTracker tracker;
  tracker.on_probe(ProbeResult::kOk, at(0s), kPatience);
  EXPECT_TRUE(tracker.on_unreachable());
  EXPECT_TRUE(tracker.on_probe(ProbeResult::kOk, at(0s), kPatience));
}

}  // namespace
}  // namespace batchproxy
