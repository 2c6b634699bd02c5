// tests/launcher/memory/plan_gpu_test.cc - the inventory's GPUs as the plan sees them.
#include "launcher/memory/plan_gpu.h"

#include <utility>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

GpuState gpu(int index, std::uint64_t used, std::uint64_t free) {
  GpuState state;
  state.index = index;
  state.uuid = "GPU-" + std::to_string(index);
  state.name = "NVIDIA X";
  state.memory = {used + free + 500, used, free};
  return state;
}

Inventory box(std::vector<GpuState> gpus) {
  Inventory inventory;
  inventory.gpus = std::move(gpus);
  return inventory;
}

TEST(PlanGpus, AreOursInOurOrder) {
  const Inventory inventory = box({gpu(0, 1, 9), gpu(1, 2, 8), gpu(2, 3, 7)});
  const PlanGpus gpus = plan_gpus(inventory, {2, Gpu::by_uuid("GPU-0")});
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].index, 2);
  EXPECT_EQ(gpus[1].index, 0);
  EXPECT_EQ(gpus[1].name, "NVIDIA X");
}

TEST(PlanGpus, HaveTheMemoryThatCudaSees) {
  const PlanGpus gpus = plan_gpus(box({gpu(0, 100, 900)}), {0});
  EXPECT_EQ(gpus[0].total, 1000);  // not what the driver keeps
  EXPECT_EQ(gpus[0].free, 900);
}

TEST(PlanGpus, OfAPartedGpuArePartsOfIt) {
  GpuState parted = gpu(0, 100, 900);
  parted.mig = {{"MIG-a", "1g.10gb", {120, 20, 100}}, {"MIG-b", "2g.20gb", {220, 20, 200}}};
  const PlanGpus gpus = plan_gpus(box({parted}), {Gpu::by_uuid("MIG-b")});
  ASSERT_EQ(gpus.size(), 1u);
  EXPECT_EQ(gpus[0].name, "2g.20gb");
  EXPECT_EQ(gpus[0].free, 200);
}

TEST(PlanGpus, ALostGpuIsNone) {
  GpuState lost = gpu(0, 0, 0);
  lost.problem = "GPU is lost";
  EXPECT_TRUE(plan_gpus(box({lost}), {0}).empty());
}

}  // namespace
}  // namespace batchproxy
