// launcher/memory/gpu_order.cc - see gpu_order.h.
#include "launcher/memory/gpu_order.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <variant>

#include "launcher/memory/gpu_choice.h"

namespace batchproxy {

bool may_order_gpus(const Options& options, const Environment& environment) {
  const GpuChoice asked = asked_gpus(options);
  const auto* const number = std::get_if<std::int64_t>(&asked);
  return needs_gpus(options) && number != nullptr && *number == 0 &&
         !environment.contains("CUDA_VISIBLE_DEVICES") &&
         !environment.contains("NVIDIA_VISIBLE_DEVICES");
}

Gpus order_gpus(const Gpus& gpus, const Inventory& inventory,
                const std::vector<EngineWish>& engines, const Options& options) {
  const bool has_parts = std::ranges::any_of(gpus, [](const Gpu& gpu) { return gpu.index < 0; });
  const PlanGpus memory = plan_gpus(inventory, gpus);
  if (has_parts || memory.size() != gpus.size()) return gpus;
  std::vector<std::size_t> sizes;
  for (const EngineWish& engine : engines) sizes.push_back(gpus_of(engine, options));
  Gpus ordered;
  for (const PlanGpu& gpu : arrange_gpus(memory, sizes)) ordered.emplace_back(gpu.index);
  return ordered;
}

}  // namespace batchproxy
