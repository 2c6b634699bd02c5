// tests/launcher/gpu_inventory_test.cc - counting GPUs with a fake driver library.
#include "launcher/plan/gpu_inventory.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

void fake_driver(const char* count, const char* init = "0") {
  setenv("FAKE_NVML_COUNT", count, 1);
  setenv("FAKE_NVML_INIT", init, 1);
}

std::string error_for(std::int64_t asked, const char* visible) {
  const auto gpus = find_gpus(asked, visible, FAKE_NVML);
  return gpus ? "(found)" : gpus.error().text;
}

TEST(CountGpus, AsksTheDriver) {
  fake_driver("8");
  EXPECT_EQ(*count_gpus(FAKE_NVML), 8);
}

TEST(CountGpus, SaysWhatToDoWithoutADriver) {
  const auto count = count_gpus("libno-such-driver.so.1");
  ASSERT_FALSE(count);
  EXPECT_NE(count.error().text.find("libno-such-driver.so.1"), std::string::npos);
  EXPECT_NE(count.error().text.find("--engine sim"), std::string::npos);
}

TEST(CountGpus, RefusesALibraryThatIsNotNvml) {
  EXPECT_FALSE(count_gpus("libm.so.6"));
}

TEST(CountGpus, ReportsADriverThatDoesNotStart) {
  fake_driver("8", "9");
  const auto count = count_gpus(FAKE_NVML);
  ASSERT_FALSE(count);
  EXPECT_NE(count.error().text.find("nvmlInit returned 9"), std::string::npos);
}

TEST(ParseVisibleDevices, ReadsIntegersInTheirOrder) {
  EXPECT_EQ(*parse_visible_devices("3, 1,2"), (Gpus{3, 1, 2}));
}

TEST(ParseVisibleDevices, EmptyAndMinusOneMeanNone) {
  EXPECT_EQ(*parse_visible_devices(""), Gpus{});
  EXPECT_EQ(*parse_visible_devices("-1"), Gpus{});
  EXPECT_EQ(*parse_visible_devices("0,-1,1"), Gpus{0});
}

TEST(ParseVisibleDevices, ReadsUuids) {
  EXPECT_EQ(*parse_visible_devices("GPU-8932f937, MIG-e91e"),
            (Gpus{Gpu::by_uuid("GPU-8932f937"), Gpu::by_uuid("MIG-e91e")}));
  EXPECT_FALSE(parse_visible_devices("GPU-8932f937,GPU-8932f937"));
}

TEST(ParseVisibleDevices, SaysThatAJobWasGivenNone) {
  const auto devices = parse_visible_devices("NoDevFiles");
  ASSERT_FALSE(devices);
  EXPECT_NE(devices.error().text.find("has given this job no GPUs"), std::string::npos);
}

TEST(ParseVisibleDevices, RefusesNonsense) {
  for (const char* value : {"all", "0;1", "0,,1", "0x1", "-2", "1.5", "99999999999", "0,0"}) {
    EXPECT_FALSE(parse_visible_devices(value)) << value;
  }
}

TEST(FindGpus, AreAllThatTheDriverSees) {
  fake_driver("4");
  EXPECT_EQ(*find_gpus(0, std::nullopt, FAKE_NVML), (Gpus{0, 1, 2, 3}));
}

TEST(FindGpus, AreLimitedByAnInheritedList) {
  fake_driver("8");
  EXPECT_EQ(*find_gpus(0, "6,7", FAKE_NVML), (Gpus{6, 7}));
  EXPECT_EQ(*find_gpus(0, "", FAKE_NVML), Gpus{});
}

TEST(FindGpus, RefusesGpusThatTheDriverDoesNotHave) {
  fake_driver("4");
  EXPECT_EQ(error_for(0, "0,4"),
            "CUDA_VISIBLE_DEVICES names GPU 4, but the driver has only 0 to 3");
}

TEST(FindGpus, DoesNotAskTheDriverForACountThatIsGiven) {
  EXPECT_EQ(*find_gpus(2, std::nullopt, "libno-such-driver.so.1"), (Gpus{0, 1}));
  EXPECT_EQ(*find_gpus(2, "4,5,6", "libno-such-driver.so.1"), (Gpus{4, 5}));
}

TEST(FindGpus, RefusesACountBeyondTheInheritedList) {
  EXPECT_EQ(
      error_for(8, "0,1"),
      "batchproxy.launcher.gpus is 8, but CUDA_VISIBLE_DEVICES=0,1 allows only 2: unset it or "
      "lower launcher.gpus");
}

}  // namespace
}  // namespace batchproxy
