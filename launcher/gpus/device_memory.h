// launcher/gpus/device_memory.h - the memory of one device, by whichever function the driver has,
// and who holds it.
//
// Threading: as the library's.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launcher/gpus/inventory.h"
#include "launcher/gpus/nvml_api.h"

namespace batchproxy {

// The driver's code; `memory` is filled when that is kNvmlSuccess.
int read_memory(const NvmlApi& api, NvmlDevice device, GpuMemory& memory);

// The name of a process; empty when it cannot be known.
using ProcessName = std::function<std::string(unsigned pid)>;

// None where the driver does not tell.
std::vector<GpuProcess> read_processes(const NvmlApi& api, NvmlDevice device,
                                       const ProcessName& name_of);

}  // namespace batchproxy
