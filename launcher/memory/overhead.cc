// launcher/memory/overhead.cc - fits to the logs that docs/MEMORY.md lists.
#include "launcher/memory/overhead.h"

#include <algorithm>

namespace batchproxy {
namespace {

constexpr Version kV1{0, 8};

// Of a step: the sampler's copies of the logits, or the widest layer.
double activation(const ModelShape& shape, const EngineFlags& flags, const BatchSizes& sizes) {
  const auto sequences =
      static_cast<double>(std::min(sizes.max_num_seqs, sizes.max_num_batched_tokens));
  const double logits = sequences * static_cast<double>(shape.vocabulary) * 4;
  if (flags.version < kSmallSampler) return 9.7 * logits;
  const double sampler = 3.5 * logits + 0.18 * kGiB;
  const double widest = static_cast<double>(sizes.max_num_batched_tokens) * 2 *
                        static_cast<double>(3 * shape.intermediate + 4 * shape.hidden);
  return std::max(sampler, widest) + (shape.is_moe ? 0.3 * kGiB : 0);
}

double non_torch(const EngineFlags& flags) {
  if (flags.gpus() == 1) return (flags.version < kLargerOverhead ? 0.13 : 0.25) * kGiB;
  if (flags.version < kLargerOverhead) return 0.55 * kGiB;
  return (flags.version < kCountsNcclBefore ? 2.1 : 1.0) * kGiB;
}

double graphs(const ModelShape& shape, const EngineFlags& flags) {
  if (flags.enforce_eager) return 0;
  const auto layers =
      static_cast<double>(shape.layers) / static_cast<double>(flags.pipeline_parallel_size);
  return (0.3 + 0.017 * layers) * kGiB;
}

}  // namespace

BatchSizes batch_sizes(const EngineFlags& flags, const PlanGpu& gpu) {
  BatchSizes sizes{256, 2048};
  const bool is_a100 = gpu.name.find("A100") != std::string::npos;
  if (flags.version >= kV1 && gpu.total >= 160 * kGiB) {
    sizes = {1024, 16384};
  } else if (flags.version >= kV1 && gpu.total >= 70 * kGiB && !is_a100) {
    sizes = {1024, 8192};
  }
  sizes.max_num_seqs = flags.max_num_seqs.value_or(sizes.max_num_seqs);
  sizes.max_num_batched_tokens =
      flags.max_num_batched_tokens.value_or(sizes.max_num_batched_tokens);
  return sizes;
}

double utilization(const EngineFlags& flags) {
  return flags.gpu_memory_utilization.value_or(flags.version >= kUses92Percent ? 0.92 : 0.9);
}

Overhead estimate_overhead(const ModelShape& shape, const EngineFlags& flags,
                           const BatchSizes& sizes) {
  return {static_cast<std::int64_t>(activation(shape, flags, sizes)),
          static_cast<std::int64_t>(non_torch(flags)),
          static_cast<std::int64_t>(graphs(shape, flags))};
}

}  // namespace batchproxy
