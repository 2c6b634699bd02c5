// launcher/gpus/inventory_reader.h - asks the driver for all that `Inventory` holds.
//
// Threading: any thread, one call at a time; the driver may take a second to answer.
#pragma once

#include <string>

#include "launcher/base/result.h"
#include "launcher/gpus/device_memory.h"
#include "launcher/gpus/inventory.h"
#include "launcher/gpus/nvml.h"

namespace batchproxy {

// One sentence when the driver cannot be asked at all. A single GPU that fails has its own
// `problem`, and the others are as they are.
OrError<Inventory> read_inventory(const ProcessName& name_of,
                                  const std::string& library = kNvmlLibrary);

// The same of a library that stays open, for those that look again and again.
OrError<Inventory> read_inventory(const ProcessName& name_of, const Nvml& nvml);

}  // namespace batchproxy
