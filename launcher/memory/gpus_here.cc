// launcher/memory/gpus_here.cc - see gpus_here.h.
#include "launcher/memory/gpus_here.h"

#include <algorithm>

namespace batchproxy {

PlanGpus plan_gpus(const Inventory& inventory, const Gpus& ours) {
  PlanGpus gpus;
  for (const GpuState& gpu : inventory.gpus) {
    if (gpu.memory.total == 0 || std::ranges::count(ours, Gpu(gpu.index)) == 0) continue;
    gpus.push_back(
        {gpu.index, gpu.name, static_cast<std::int64_t>(gpu.memory.total - gpu.memory.reserved),
         static_cast<std::int64_t>(gpu.memory.free), inventory.nvlink_neighbours(gpu.index)});
  }
  return gpus;
}

}  // namespace batchproxy
