// launcher/memory/plan_gpu.cc - the inventory's GPUs for the plan.
#include "launcher/memory/plan_gpu.h"

#include <algorithm>

namespace batchproxy {
namespace {

std::int64_t bytes(std::uint64_t driver_bytes) {
  return static_cast<std::int64_t>(driver_bytes);
}

// What CUDA sees: the driver's total has what the driver keeps for itself, too.
PlanGpu plan_gpu(int index, const std::string& name, const GpuMemory& memory) {
  return {index, name, bytes(memory.used + memory.free), bytes(memory.free), {}};
}

}  // namespace

PlanGpus plan_gpus(const Inventory& inventory, const Gpus& ours) {
  PlanGpus gpus;
  for (const Gpu& gpu : ours) {
    for (const GpuState& state : inventory.gpus) {
      if (gpu.uuid.empty() ? state.index == gpu.index : state.uuid == gpu.uuid) {
        if (!state.problem.empty()) continue;
        gpus.push_back(plan_gpu(state.index, state.name, state.memory));
        gpus.back().neighbours = inventory.nvlink_neighbours(state.index);
      }
      const auto part = std::ranges::find(state.mig, gpu.uuid, &MigInstance::uuid);
      if (gpu.uuid.empty() || part == state.mig.end()) continue;
      gpus.push_back(plan_gpu(state.index, part->name, part->memory));
    }
  }
  return gpus;
}

}  // namespace batchproxy
