// launcher/memory/plan_gpu.h - a GPU as the plan sees it.
//
// Threading: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/memory/model/memory_size.h"

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

}  // namespace batchproxy
