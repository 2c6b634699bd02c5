// launcher/memory/gpus_here.h - the GPUs of this machine as the plan sees them.
//
// Threading: pure function over values.
#pragma once

#include "launcher/gpus/inventory.h"
#include "launcher/memory/plan_gpu.h"

namespace batchproxy {

// Those of an inventory that are in `ours` and whose memory is known, in the driver's order. A MIG
// instance is none: the plan knows whole GPUs only.
PlanGpus plan_gpus(const Inventory& inventory, const Gpus& ours);

}  // namespace batchproxy
