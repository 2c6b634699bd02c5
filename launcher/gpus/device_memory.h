// launcher/gpus/device_memory.h - the memory of one device, by whichever function the driver has.
//
// Threading: as the library's.
#pragma once

#include "launcher/gpus/inventory.h"
#include "launcher/gpus/nvml_api.h"

namespace batchproxy {

// The driver's code; `memory` is filled when that is kNvmlSuccess.
int read_memory(const NvmlApi& api, NvmlDevice device, GpuMemory& memory);

}  // namespace batchproxy
