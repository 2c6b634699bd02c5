// launcher/memory/plan_gpu.h - a GPU as the plan sees it.
//
// Threading: plain values, and a pure function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/gpus/inventory.h"

namespace batchproxy {

struct PlanGpu {
  int index = 0;                // as the driver counts
  std::string name;             // "NVIDIA H100 80GB HBM3"; "" if not known
  std::int64_t total = 0;       // bytes, as CUDA tells them: without what the driver keeps
  std::int64_t free = 0;        // bytes of them now, before an engine has its context there
  std::vector<int> neighbours;  // indices of those that NVLink connects it with

  friend bool operator==(const PlanGpu&, const PlanGpu&) = default;
};
using PlanGpus = std::vector<PlanGpu>;

// Those of the inventory that are ours, in their order; parts of a GPU (MIG), too. Without those
// that the driver cannot tell of.
PlanGpus plan_gpus(const Inventory& inventory, const Gpus& ours);

}  // namespace batchproxy
