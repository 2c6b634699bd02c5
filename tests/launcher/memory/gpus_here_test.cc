// tests/launcher/memory/gpus_here_test.cc - from the driver's inventory to the plan's GPUs.
#include "launcher/memory/gpus_here.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

GpuState gpu(int index, std::uint64_t free) {
  GpuState state;
  state.index = index;
  state.name = "N";
  state.memory = {.total = 100, .used = 90 - free, .free = free, .reserved = 10};
  return state;
}

TEST(PlanGpus, AreOursWithTheMemoryThatCudaTells) {
  Inventory inventory;
  inventory.gpus = {gpu(0, 80), gpu(1, 70), gpu(2, 60)};
  inventory.gpus.emplace_back().index = 3;  // lost: nothing is known of it
  const GpuConnection self{GpuPath::kSelf, 0};
  const GpuConnection link{GpuPath::kNvlink, 4};
  inventory.topology = {{self, {}, link, {}}, {{}, self, {}, {}}, {link, {}, self, {}}, {}};
  EXPECT_EQ(plan_gpus(inventory, {2, 0, 3}),
            (PlanGpus{{0, "N", 90, 80, {2}}, {2, "N", 90, 60, {0}}}));
  EXPECT_EQ(plan_gpus(inventory, {Gpu::by_uuid("MIG-1")}), PlanGpus{});
}

}  // namespace
}  // namespace batchproxy
