// tests/launcher/gpus/gpu_watch_test.cc - what the GPUs of a fake driver library do.
#include "launcher/gpus/gpu_watch.h"

#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

TEST(GpuWatch, ReadsTheFiguresOfEachGpuThatAnswers) {
  setenv("FAKE_NVML",
         "gpus 3 name=NVIDIA_H100 total=1000\ngpu 1 used=300 util=40 temp=55 sent=3 received=5\n"
         "link 0 1 2\nlost 2\n",
         1);
  const auto nvml = Nvml::open(FAKE_NVML);
  ASSERT_TRUE(nvml);
  const std::vector<GpuReading> gpus = read_gpus(*nvml);
  ASSERT_EQ(gpus.size(), 2u);
  const GpuReading& gpu = gpus[1];
  EXPECT_EQ(gpu.index, 1);
  EXPECT_EQ(gpu.name, "NVIDIA H100");
  EXPECT_EQ(gpu.memory.total, 1000 * kMib);
  EXPECT_EQ(gpu.memory.used, 300 * kMib);
  EXPECT_EQ(gpu.utilisation, 40u);
  EXPECT_EQ(gpu.temperature, 55u);
  EXPECT_EQ(gpu.nvlink_sent, 3 * 1024u);
  EXPECT_EQ(gpu.nvlink_received, 5 * 1024u);
}

TEST(GpuWatch, TellsNoTrafficWithoutNvlink) {
  setenv("FAKE_NVML", "gpus 1 name=NVIDIA_L4 total=1000", 1);
  const auto nvml = Nvml::open(FAKE_NVML);
  ASSERT_TRUE(nvml);
  const std::vector<GpuReading> gpus = read_gpus(*nvml);
  ASSERT_EQ(gpus.size(), 1u);
  EXPECT_EQ(gpus[0].nvlink_sent, std::nullopt);
}

TEST(GpuWatch, LooksOnAThreadOfItsOwn) {
  setenv("FAKE_NVML", "gpus 2 name=NVIDIA_H100 total=1000", 1);
  const GpuWatch watch(FAKE_NVML);
  while (watch.latest().empty()) std::this_thread::yield();
  EXPECT_EQ(watch.latest().size(), 2u);
}

TEST(GpuWatch, HasNothingToTellWithoutADriver) {
  const GpuWatch watch("/nowhere/libnvidia-ml.so");
  EXPECT_TRUE(watch.latest().empty());
}

}  // namespace
}  // namespace batchproxy
