// launcher/gpus/device_memory.cc - see device_memory.h.
#include "launcher/gpus/device_memory.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

int read_memory(const NvmlApi& api, NvmlDevice device, GpuMemory& memory) {
  NvmlMemoryV2 newer{};
  newer.version = kNvmlMemoryV2;
  if (api.memory_v2 != nullptr && api.memory_v2(device, &newer) == kNvmlSuccess) {
    memory = {newer.total, newer.used, newer.free, newer.reserved};
    return kNvmlSuccess;
  }
  NvmlMemory older{};
  const int code = api.memory == nullptr ? kNvmlNotSupported : api.memory(device, &older);
  if (code == kNvmlSuccess) memory = {older.total, older.used, older.free, 0};
  return code;
}

std::vector<GpuProcess> read_processes(const NvmlApi& api, NvmlDevice device,
                                       const ProcessName& name_of) {
  std::vector<GpuProcess> processes;
  if (api.processes == nullptr) return processes;
  std::vector<NvmlProcess> list(64);
  auto count = static_cast<unsigned int>(list.size());
  int code = api.processes(device, &count, list.data());
  if (code == kNvmlTooSmall) {  // more have come while we asked: room for a few besides
    list.resize(count + 16);
    count = static_cast<unsigned int>(list.size());
    code = api.processes(device, &count, list.data());
  }
  if (code != kNvmlSuccess) return processes;
  list.resize(std::min<std::size_t>(count, list.size()));
  for (const NvmlProcess& each : list) {
    GpuProcess process{each.pid, std::nullopt, name_of ? name_of(each.pid) : ""};
    if (each.used != kNvmlUnknown) process.used = each.used;
    processes.push_back(std::move(process));
  }
  return processes;
}

}  // namespace batchproxy
