// launcher/memory/engine_changes.h - what changed between versions of vLLM that counts for memory.
//
// Threading: plain values.
#pragma once

#include "configs/vllm/version.h"

namespace batchproxy {

// From this version on, vLLM ...
inline constexpr Version kReservesABlock{0, 33};       // keeps one block for itself
inline constexpr Version kTokensOfConcurrency{0, 25};  // prints concurrency x length
inline constexpr Version kTwoBatchesInFlight{0, 25};   // keeps two batches in a window
inline constexpr Version kSubtractsGraphs{0, 21};      // takes the graphs off the cache
inline constexpr Version kUses92Percent{0, 20};        // --gpu-memory-utilization 0.92
inline constexpr Version kLargerGroupRule{0, 12};      // pads groups up to 1.5 times
inline constexpr Version kSmallSampler{0, 17};         // profiles the sampler with less
inline constexpr Version kCountsNcclBefore{0, 25};     // NCCL is up before it measures
inline constexpr Version kLargerOverhead{0, 18};       // counts more memory of CUDA libraries

}  // namespace batchproxy
