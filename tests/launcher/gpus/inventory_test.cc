// tests/launcher/gpus/inventory_test.cc - boxes of a fake driver library, as values, text and JSON.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/gpus/inventory_reader.h"
#include "launcher/gpus/report.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMib = 1 << 20;

OrError<Inventory> inventory_of(const std::string& box) {
  setenv("FAKE_NVML", box.c_str(), 1);
  return read_inventory([](unsigned pid) { return pid == 7 ? "python3" : ""; }, FAKE_NVML);
}

std::string text_of(const std::string& box, const VisibleVariables& variables = {}) {
  const auto inventory = inventory_of(box);
  return gpus_text(*inventory, our_gpus(*inventory, variables));
}

TEST(Inventory, HoldsWhatTheDriverSaysOfEachGpu) {
  const auto box = inventory_of(
      "driver 570.1\ncuda 12080\n"
      "gpus 2 name=NVIDIA_A100 total=1000 capability=80\n"
      "gpu 1 used=300 util=40 temp=55 uuid=GPU-b pci=00000000:3B:00.0\n"
      "process 1 pid=7 used=250\nprocess 1 pid=8 used=?");
  ASSERT_TRUE(box);
  EXPECT_EQ(box->driver, "570.1");
  EXPECT_EQ(cuda_version_text(box->cuda), "12.8");
  ASSERT_EQ(box->gpus.size(), 2u);
  const GpuState& gpu = box->gpus[1];
  EXPECT_EQ(gpu.index, 1);
  EXPECT_EQ(gpu.uuid, "GPU-b");
  EXPECT_EQ(gpu.name, "NVIDIA A100");
  EXPECT_EQ(gpu.pci, "00000000:3B:00.0");
  EXPECT_EQ(gpu.memory.total, 1000 * kMib);
  EXPECT_EQ(gpu.memory.used, 300 * kMib);
  EXPECT_EQ(gpu.memory.free, 700 * kMib);
  EXPECT_EQ(gpu.utilisation, 40u);
  EXPECT_EQ(gpu.temperature, 55u);
  EXPECT_EQ(gpu.capability, 80);
  ASSERT_EQ(gpu.processes.size(), 2u);
  EXPECT_EQ(gpu.processes[0].pid, 7u);
  EXPECT_EQ(gpu.processes[0].used, 250 * kMib);
  EXPECT_EQ(gpu.processes[0].name, "python3");
  EXPECT_EQ(gpu.processes[1].used, std::nullopt);
}

TEST(Inventory, FindsMoreProcessesThanItFirstHasRoomFor) {
  std::string box = "gpus 1\n";
  for (int pid = 1; pid <= 100; ++pid) box += "process 0 pid=" + std::to_string(pid) + " used=1\n";
  EXPECT_EQ(inventory_of(box)->gpus[0].processes.size(), 100u);
}

TEST(Inventory, KnowsNeighboursByDirectLinks) {
  const auto box = inventory_of("gpus 4\nlink 0 1 4\nlink 2 3 2\nlevel 0 2 30\nnuma 2");
  EXPECT_THAT(box->nvlink_neighbours(0), ElementsAre(1));
  EXPECT_EQ(box->topology[0][0], (GpuConnection{GpuPath::kSelf, 0}));
  EXPECT_EQ(box->topology[0][1], (GpuConnection{GpuPath::kNvlink, 4}));
  EXPECT_EQ(box->topology[0][2], (GpuConnection{GpuPath::kPhb, 0}));
  EXPECT_EQ(box->topology[0][3], (GpuConnection{GpuPath::kSys, 0}));
  EXPECT_EQ(box->topology[3][2], (GpuConnection{GpuPath::kNvlink, 2}));
  EXPECT_EQ(box->gpus[0].links[0].peer, 1);
}

TEST(Inventory, KnowsThatOverSwitchesEveryGpuReachesEveryOther) {
  const auto box = inventory_of("gpus 3\nswitched 18");
  EXPECT_THAT(box->nvlink_neighbours(1), ElementsAre(0, 2));
  EXPECT_EQ(to_string(box->topology[0][2]), "NV18");
}

TEST(Inventory, ShowsTheOtherGpusBesideALostOne) {
  const auto box = inventory_of("gpus 3 total=100 name=N\nlost 1\nswitched 4");
  ASSERT_EQ(box->gpus.size(), 3u);
  EXPECT_EQ(box->gpus[1].problem,
            "GPU 1 is lost: it has fallen off the bus; reboot, and look at `dmesg` for Xid");
  EXPECT_EQ(box->gpus[2].name, "N");
  EXPECT_THAT(box->nvlink_neighbours(0), ElementsAre(2));
  EXPECT_THAT(text_of("gpus 3 total=100 name=N\nlost 1"), HasSubstr("GPU 1 is lost"));
}

TEST(Inventory, SaysInOneSentenceWhyThereIsNone) {
  const auto error = [](const auto& inventory) { return inventory ? "" : inventory.error().text; };
  EXPECT_THAT(error(read_inventory({}, "libno-such-driver.so.1")),
              HasSubstr("cannot ask the NVIDIA driver for its GPUs (libno-such-driver.so.1"));
  EXPECT_THAT(error(inventory_of("init 9")),
              HasSubstr("nvmlInit returned 9, Driver Not Loaded: the kernel has no NVIDIA driver"));
  EXPECT_THAT(error(inventory_of("init 18")), HasSubstr("the driver was updated, so reboot"));
  EXPECT_EQ(text_of(""), "the NVIDIA driver is there, but has no GPU\n");
}

TEST(GpusText, IsATableOfGpusProcessesInstancesAndConnections) {
  EXPECT_EQ(text_of("driver 570.1\ncuda 12080\ngpus 2 name=NVIDIA_A100 total=40960\n"
                    "gpu 1 used=4096 util=40 temp=55\nprocess 1 pid=7 used=2048\nlink 0 1 12\n"
                    "mig 0 uuid=MIG-1 name=MIG_1g.5gb total=5120",
                    {"0", std::nullopt}),
            "2 GPUs, NVIDIA driver 570.1, CUDA up to 12.8\n"
            "CUDA_VISIBLE_DEVICES=0: only GPUs marked `yes` are ours\n"
            "\n"
            "GPU  name         total GiB  used  free  util  temp  ours\n"
            "  0  NVIDIA A100       40.0   0.0  40.0   0 %  30 C  yes\n"
            "  1  NVIDIA A100       40.0   4.0  36.0  40 %  55 C  -\n"
            "\n"
            "GPU  pid  used GiB  process\n"
            "  1    7       2.0  python3\n"
            "\n"
            "GPU  MIG instance  name        total GiB  used  ours\n"
            "  0  MIG-1         MIG 1g.5gb        5.0   0.0  -\n"
            "\n"
            "      GPU0  GPU1\n"
            "GPU0  X     NV12\n"
            "GPU1  NV12  X\n"
            "NVn: n NVLinks; PIX, PXB: PCIe switches; PHB: one PCIe root; NODE: one CPU; SYS: "
            "between CPUs\n");
}

TEST(GpusText, MarksWhatAListOfIdsMeans) {
  const std::string box =
      "gpus 2 name=N total=1024\ngpu 1 uuid=GPU-beef\nmig 0 uuid=MIG-1 name=m total=1";
  const auto inventory = inventory_of(box);
  EXPECT_EQ(our_gpus(*inventory, {"GPU-be", std::nullopt}).gpus, Gpus{1});
  EXPECT_EQ(our_gpus(*inventory, {"MIG-1", std::nullopt}).gpus, Gpus{Gpu::by_uuid("MIG-1")});
  EXPECT_EQ(our_gpus(*inventory, {std::nullopt, "GPU-beef"}).gpus, Gpus{1});
  EXPECT_EQ(our_gpus(*inventory, {}).gpus, (Gpus{Gpu::by_uuid("MIG-1"), 1}));
  EXPECT_THAT(text_of(box, {"5", std::nullopt}),
              HasSubstr("CUDA_VISIBLE_DEVICES names GPU 5, but the driver has only 0 to 1\n"));
}

TEST(GpusJson, HasEveryValue) {
  const auto inventory = inventory_of(
      "driver 570.1\ncuda 12080\ngpus 2 name=N total=2 capability=90 uuid=GPU-a pci=p\n"
      "process 0 pid=7 used=1\nlink 0 1 1");
  EXPECT_THAT(gpus_json(*inventory, our_gpus(*inventory, {"0", std::nullopt})),
              HasSubstr(R"({"driver":"570.1","cuda":"12.8","limited_by":"CUDA_VISIBLE_DEVICES=0",)"
                        R"("gpus":[{"index":0,"uuid":"GPU-a","name":"N","pci":"p",)"
                        R"("memory":{"total":2097152,"used":0,"free":2097152},"utilisation":0,)"
                        R"("temperature":30,"compute_capability":"9.0","ours":true,)"
                        R"("processes":[{"pid":7,"used":1048576,"name":"python3"}],)"
                        R"("nvlinks":[{"link":0,"remote":"p","peer":0}])"));
}

}  // namespace
}  // namespace batchproxy
