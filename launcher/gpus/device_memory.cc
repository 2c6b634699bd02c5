// launcher/gpus/device_memory.cc - see device_memory.h.
#include "launcher/gpus/device_memory.h"

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

}  // namespace batchproxy
