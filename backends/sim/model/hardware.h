// backends/sim/model/hardware.h - how long one engine step takes on given GPUs, and how many tokens
// their KV cache holds: Llama-2-7B in fp16, after published measurements.
//
// Pure arithmetic. Absolute times are good to about 25 %, ratios between loads are much better.
//
// Threading: immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace batchproxy::sim {

inline constexpr int kKvBlockTokens = 16;

enum class Gpu : std::uint8_t { kA100, kH100 };

// "a100" or "h100"; throws std::invalid_argument for anything else.
Gpu parse_gpu(std::string_view name);
std::string_view gpu_name(Gpu gpu);

// What one engine step has to compute.
struct StepLoad {
  int tokens = 0;              // tokens that pass through the dense layers
  int sequences = 0;           // sequences in the step
  int sampled = 0;             // sequences that get a new token
  double decode_context = 0;   // sum of context lengths of decoding sequences, in tokens
  double prefill_pairs = 0;    // query-key pairs of prefill chunks
  double prefill_context = 0;  // tokens that lie before the prefill chunks
};

// One point of a measured curve: a step of `tokens` tokens takes `ms`.
struct Knot {
  double tokens;
  double ms;
};

class Hardware {
 public:
  // Throws std::invalid_argument unless tensor_parallel_size is 1, 2, 4 or 8.
  Hardware(Gpu gpu, int tensor_parallel_size);

  double step_seconds(const StepLoad& load) const;

  // Tokens that fit into the KV cache at this --gpu-memory-utilization. Each further pipeline stage
  // brings as many GPUs again. Negative when not even the weights fit.
  std::int64_t kv_tokens(double gpu_memory_utilization, int pipeline_parallel_size = 1) const;

  // vLLM's defaults for its API server on this GPU.
  int default_max_num_seqs() const { return gpu_ == Gpu::kA100 ? 256 : 1024; }
  int default_max_num_batched_tokens() const { return gpu_ == Gpu::kA100 ? 2048 : 8192; }

 private:
  Gpu gpu_;
  int tensor_parallel_size_;
  std::span<const Knot> dense_ms_;       // all layers but attention, of one GPU's share
  std::span<const Knot> all_reduce_ms_;  // one of the two all-reduces of each layer
  double memory_bytes_per_second_;
  double attention_flops_;
  double lm_head_flops_;
  double host_seconds_;  // scheduling, input preparation and sampling, per step
};

// Bytes of KV cache per token, over all GPUs.
inline constexpr double kKvBytesPerToken = 524288.0;

}  // namespace batchproxy::sim
