// launcher/memory/gpu_order.h - in which order engines are given the GPUs that we may have.
//
// Threading: pure functions over values.
#pragma once

#include <vector>

#include "configs/engine_wish.h"
#include "configs/sources/environment.h"
#include "launcher/gpus/inventory.h"

namespace batchproxy {

// Whoever names GPUs, or limits us to some by a variable, has an order in mind: that one stays.
bool may_order_gpus(const Options& options, const Environment& environment);

// The GPUs so that each engine in turn gets the best of what is left: NVLink neighbours together,
// those with the most free memory first (choose_gpus()). As they are where the driver does not tell
// of one's memory, or where one is a MIG instance.
Gpus order_gpus(const Gpus& gpus, const Inventory& inventory,
                const std::vector<EngineWish>& engines, const Options& options);

}  // namespace batchproxy
