// launcher/gpus/free_memory.cc - see free_memory.h.
#include "launcher/gpus/free_memory.h"

#include <algorithm>

#include "launcher/base/machine.h"
#include "launcher/gpus/device_memory.h"

namespace batchproxy {
namespace {

NvmlDevice device_of(const NvmlApi& api, const Gpu& gpu) {
  NvmlDevice device = nullptr;
  const int code =
      !gpu.uuid.empty()
          ? (api.device_by_uuid ? api.device_by_uuid(gpu.uuid.c_str(), &device) : kNvmlNotSupported)
          : (api.device ? api.device(static_cast<unsigned int>(gpu.index), &device)
                        : kNvmlNotSupported);
  return code == kNvmlSuccess ? device : nullptr;
}

}  // namespace

std::optional<std::uint64_t> FreeMemory::least_of(const Gpus& gpus) {
  if (!asked_) {
    asked_ = true;
    if (auto opened = Nvml::open(library_)) nvml_ = *std::move(opened);
  }
  if (!nvml_) return std::nullopt;
  std::optional<std::uint64_t> least;
  for (const Gpu& gpu : gpus) {
    const NvmlDevice device = device_of(nvml_->api(), gpu);
    GpuMemory memory;
    if (device == nullptr || read_memory(nvml_->api(), device, memory) != kNvmlSuccess) {
      return std::nullopt;
    }
    std::uint64_t free = memory.free;
    for (const GpuProcess& process : read_processes(nvml_->api(), device, name_of_)) {
      if (process.name == kWeightKeeper) free += process.used.value_or(0);
    }
    least = std::min(least.value_or(free), free);
  }
  return least;
}

}  // namespace batchproxy
