// launcher/memory/overhead.h - what an engine takes on a GPU besides weights and caches.
//
// These are fits to published logs, not vLLM's own arithmetic: a start tells the truth, which
// learned/ keeps for the next one. docs/MEMORY.md has the errors.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>

#include "launcher/memory/engine_flags.h"
#include "launcher/memory/model/model_shape.h"
#include "launcher/memory/plan_gpu.h"

namespace batchproxy {

// What vLLM takes for the sizes that the user leaves to it.
struct BatchSizes {
  std::int64_t max_num_seqs = 0;
  std::int64_t max_num_batched_tokens = 0;
};
BatchSizes batch_sizes(const EngineFlags& flags, const PlanGpu& gpu);

double utilization(const EngineFlags& flags);

// Bytes on each GPU.
struct Overhead {
  std::int64_t activation = 0;  // the peak of a step of the largest batch
  std::int64_t non_torch = 0;   // libraries: NCCL, cuBLAS, attention kernels
  std::int64_t graphs = 0;      // CUDA graphs
};
Overhead estimate_overhead(const ModelShape& shape, const EngineFlags& flags,
                           const BatchSizes& sizes);

// Of the CUDA context, which no engine counts as its own.
inline constexpr std::int64_t kCudaContext = kGiB * 51 / 100;

}  // namespace batchproxy
