// tests/launcher/gpus/gpu_pool_test.cc - counting GPUs with a fake driver library.
#include "launcher/gpus/gpu_pool.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

void fake_driver(const std::string& count, const std::string& init = "0") {
  setenv("FAKE_NVML", ("init " + init + "\ngpus " + count).c_str(), 1);
}

constexpr const char* kNoDriver = "libno-such-driver.so.1";

OrError<Gpus> gpus_for(GpuChoice asked, std::optional<std::string> visible,
                       const char* library = FAKE_NVML) {
  auto pool = find_gpus(asked, {std::move(visible), std::nullopt}, library);
  if (!pool) return pool.error();
  return std::move(pool->gpus);
}

std::string error_for(GpuChoice asked, const char* visible) {
  const auto gpus = gpus_for(std::move(asked), visible);
  return gpus ? "(found)" : gpus.error().text;
}

GpuChoice number(std::int64_t count) {
  return count;
}
GpuChoice list(std::vector<std::string> items) {
  return items;
}

TEST(FindGpus, SaysWhatToDoWithoutADriver) {
  const auto gpus = gpus_for(number(0), std::nullopt, kNoDriver);
  ASSERT_FALSE(gpus);
  EXPECT_NE(gpus.error().text.find(kNoDriver), std::string::npos);
  EXPECT_NE(gpus.error().text.find("--engine sim"), std::string::npos);
}

TEST(FindGpus, RefusesALibraryThatIsNotNvml) {
  EXPECT_FALSE(gpus_for(number(0), std::nullopt, "libm.so.6"));
}

TEST(FindGpus, ReportsADriverThatDoesNotStart) {
  fake_driver("8", "9");
  EXPECT_NE(error_for(number(0), "0").find("nvmlInit returned 9"), std::string::npos);
}

TEST(FindGpus, LeavesOutAGpuThatIsLost) {
  setenv("FAKE_NVML", "gpus 3\nlost 1", 1);
  const auto pool = find_gpus(number(0), {}, FAKE_NVML);
  EXPECT_EQ(pool->gpus, (Gpus{0, 2}));
  EXPECT_EQ(pool->remarks, std::vector<std::string>{
                               "GPU 1 is lost: it has fallen off the bus; reboot, and look at "
                               "`dmesg` for Xid; no engine gets it"});
}

TEST(FindGpus, TakesTheInstancesOfADividedGpu) {
  setenv("FAKE_NVML", "gpus 2\nmig 0 uuid=MIG-a\nmig 0 uuid=MIG-b", 1);
  EXPECT_EQ(*gpus_for(number(0), std::nullopt),
            (Gpus{Gpu::by_uuid("MIG-a"), Gpu::by_uuid("MIG-b"), 1}));
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
  EXPECT_EQ(*gpus_for(number(0), std::nullopt), (Gpus{0, 1, 2, 3}));
}

TEST(FindGpus, AreLimitedByAnInheritedList) {
  fake_driver("8");
  EXPECT_EQ(*gpus_for(number(0), "6,7"), (Gpus{6, 7}));
  EXPECT_EQ(*gpus_for(number(0), ""), Gpus{});
}

TEST(FindGpus, RefusesGpusThatTheDriverDoesNotHave) {
  fake_driver("4");
  EXPECT_EQ(error_for(number(0), "0,4"),
            "CUDA_VISIBLE_DEVICES names GPU 4, but the driver has only 0 to 3");
}

TEST(FindGpus, DoesNotAskTheDriverForACountThatIsGiven) {
  EXPECT_EQ(*gpus_for(number(2), std::nullopt, kNoDriver), (Gpus{0, 1}));
  EXPECT_EQ(*gpus_for(number(2), "4,5,6", kNoDriver), (Gpus{4, 5}));
  EXPECT_EQ(*gpus_for(list({"7", "5"}), std::nullopt, kNoDriver), (Gpus{7, 5}));
}

TEST(FindGpus, RefusesACountBeyondTheInheritedList) {
  EXPECT_EQ(
      error_for(number(8), "0,1"),
      "batchproxy.launcher.gpus is 8, but CUDA_VISIBLE_DEVICES=0,1 allows only 2: unset it or "
      "lower launcher.gpus");
  EXPECT_EQ(error_for(list({"1", "7"}), "0,1"),
            "batchproxy.launcher.gpus names GPU 7, but CUDA_VISIBLE_DEVICES=0,1 does not allow it");
}

TEST(FindGpus, MakesIndicesOfUuidsAndTheirBeginnings) {
  setenv("FAKE_NVML", "gpus 3\ngpu 1 uuid=GPU-1a2b\ngpu 2 uuid=GPU-1acc", 1);
  EXPECT_EQ(*gpus_for(number(0), "GPU-1acc,GPU-1a2"), (Gpus{2, 1}));
  EXPECT_EQ(*gpus_for(list({"GPU-1a2b"}), std::nullopt), Gpus{1});
  EXPECT_EQ(error_for(number(0), "GPU-1a"),
            "CUDA_VISIBLE_DEVICES has 'GPU-1a', with which the ids of 2 GPUs begin: write more of "
            "it");
  EXPECT_EQ(error_for(number(0), "GPU-9"),
            "CUDA_VISIBLE_DEVICES names GPU GPU-9, but the driver has none of that id (`batchproxy "
            "gpus` lists them)");
  EXPECT_EQ(*gpus_for(number(1), "GPU-1acc", kNoDriver), Gpus{Gpu::by_uuid("GPU-1acc")});
}

TEST(FindGpus, KeepsTheWholeIdOfAMigInstance) {
  setenv("FAKE_NVML", "gpus 1\nmig 0 uuid=MIG-aa11\nmig 0 uuid=MIG-bb22", 1);
  EXPECT_EQ(*gpus_for(number(0), "MIG-bb"), Gpus{Gpu::by_uuid("MIG-bb22")});
}

// Inside a container the driver has only the named GPUs, and numbers them anew.
TEST(FindGpus, TakeTheRuntimesListForTheHostsNumbersInsideAContainer) {
  const auto found = [](const char* nvidia) {
    return find_gpus(number(0), {std::nullopt, nvidia}, FAKE_NVML)->gpus;
  };
  fake_driver("8");
  EXPECT_EQ(found("4,5"), (Gpus{4, 5}));
  EXPECT_EQ(found("all").size(), 8u);
  EXPECT_EQ(found("none"), Gpus{});
  fake_driver("2");
  EXPECT_EQ(found("4,5"), (Gpus{0, 1}));
}

}  // namespace
}  // namespace batchproxy
