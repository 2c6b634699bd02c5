// launcher/memory/gpu_choice.h - which GPUs an engine should have.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "launcher/memory/model/not_planned.h"
#include "launcher/memory/plan_gpu.h"

namespace batchproxy {

struct GpuGroup {
  std::vector<int> indices;  // in the driver's order
  PlanGpu least;             // its member with the least free memory, which limits it
  bool is_linked = false;    // NVLink connects each with each
};

// `count` of these, at least one and no more than there are: first a group of NVLink neighbours
// that each have `needed` bytes free, then any such group; if no group has them, the one whose
// least member has most. Among equals, the one with the most free memory.
GpuGroup choose_gpus(const PlanGpus& gpus, std::size_t count, std::int64_t needed);

// The same GPUs in the order in which engines of these sizes, each a number of GPUs, had better be
// given them: each gets the best of what is left. Some hundred MiB more or less do not count, and
// where all are needed free memory does not, either: then only neighbours leave the driver's order.
PlanGpus arrange_gpus(const PlanGpus& gpus, const std::vector<std::size_t>& sizes);

// "8xH100-80GB", "2x24GiB", "H200-141GB": GPUs that are not here. A known name gets the memory that
// CUDA tells of it; another one that its name says. All of it is free.
Planned<PlanGpus> assumed_gpus(std::string_view text);

}  // namespace batchproxy
