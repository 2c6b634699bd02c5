// tests/launcher/gpus/free_memory_test.cc - what a start that waits for memory is told.
#include "launcher/gpus/free_memory.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

FreeMemory memory_of(const char* box) {
  setenv("FAKE_NVML", box, 1);
  return FreeMemory([](unsigned pid) { return pid == 7 ? "vllm preload" : "python3"; }, FAKE_NVML);
}

TEST(FreeMemory, IsThatOfTheFullestGpu) {
  FreeMemory memory = memory_of("gpus 3 total=100\ngpu 1 used=60\ngpu 2 used=30");
  EXPECT_EQ(memory.least_of({0, 2}), 70 * kMib);
  EXPECT_EQ(memory.least_of({0, 1, 2}), 40 * kMib);
  EXPECT_EQ(memory.least_of({}), std::nullopt);
}

// The daemon stays, so nobody waits for its memory to come back.
TEST(FreeMemory, HoldsWhatKeepsWeightsForFree) {
  FreeMemory memory = memory_of(
      "gpus 2 total=100\ngpu 0 used=60\nprocess 0 pid=7 used=40\nprocess 0 pid=8 used=20\n"
      "gpu 1 used=30\nprocess 1 pid=7 used=?");
  EXPECT_EQ(memory.least_of({0}), 80 * kMib);
  EXPECT_EQ(memory.least_of({1}), 70 * kMib) << "how much it holds is not known";
}

TEST(FreeMemory, IsToldOfIdsToo) {
  FreeMemory memory = memory_of("gpus 1 total=100 uuid=GPU-a\nmig 0 uuid=MIG-a total=10");
  EXPECT_EQ(memory.least_of({Gpu::by_uuid("GPU-a")}), 100 * kMib);
  EXPECT_EQ(memory.least_of({Gpu::by_uuid("MIG-a")}), 10 * kMib);
  EXPECT_EQ(memory.least_of({Gpu::by_uuid("MIG-b")}), std::nullopt);
}

TEST(FreeMemory, IsUnknownWhereOneGpuDoesNotTellOrThereIsNoDriver) {
  FreeMemory memory = memory_of("gpus 2 total=100\nlost 1");
  EXPECT_EQ(memory.least_of({0, 1}), std::nullopt);
  EXPECT_EQ(memory.least_of({0, 7}), std::nullopt);
  FreeMemory without({}, "libno-such-driver.so.1");
  EXPECT_EQ(without.least_of({0}), std::nullopt);
}

}  // namespace
}  // namespace batchproxy
