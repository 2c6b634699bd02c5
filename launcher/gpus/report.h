// launcher/gpus/report.h - an inventory as people and programs read it.
//
// Threading: pure functions over values.
#pragma once

#include <string>

#include "launcher/gpus/inventory.h"
#include "launcher/gpus/visible_devices.h"

namespace batchproxy {

// A table of GPUs, then who uses them, the MIG instances, and the matrix of connections.
std::string gpus_text(const Inventory& inventory, const OurGpus& ours);

// The same for programs; memory in bytes. docs/GPUS.md lists the fields.
std::string gpus_json(const Inventory& inventory, const OurGpus& ours);

}  // namespace batchproxy
