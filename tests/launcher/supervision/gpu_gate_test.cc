// tests/launcher/supervision/gpu_gate_test.cc - a start waits for the memory of its GPUs.
#include "launcher/supervision/gpu_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

TEST(GpuGate, TheFirstStartWaitsForNothing) {
  GpuGate gate;
  EXPECT_FALSE(gate.why_wait(3 * kGiB, 0s));
}

TEST(GpuGate, TheNextWaitsUntilAsMuchIsFreeAsBefore) {
  GpuGate gate;
  gate.why_wait(79 * kGiB, 0s);
  gate.close();
  EXPECT_THAT(*gate.why_wait(12 * kGiB, 0s), HasSubstr("12.0 of 79.0 GiB"));
  EXPECT_TRUE(gate.why_wait(78 * kGiB, 5s));
  EXPECT_FALSE(gate.why_wait(79 * kGiB - kGiB / 4, 6s)) << "others come and go";
}

TEST(GpuGate, DoesNotWaitForEver) {
  GpuGate gate;
  gate.why_wait(79 * kGiB, 0s);
  gate.close();
  EXPECT_TRUE(gate.why_wait(12 * kGiB, 29s));
  EXPECT_FALSE(gate.why_wait(12 * kGiB, 30s));
  gate.close();
  EXPECT_FALSE(gate.why_wait(12 * kGiB, 0s)) << "what was missing is somebody else's by now";
}

TEST(GpuGate, IsOpenWhereNoDriverTells) {
  GpuGate gate;
  gate.close();
  EXPECT_FALSE(gate.why_wait(std::nullopt, 0s));
}

}  // namespace
}  // namespace batchproxy
