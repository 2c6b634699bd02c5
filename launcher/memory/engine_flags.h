// launcher/memory/engine_flags.h - the arguments of `vllm serve` that decide about memory.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "configs/schema/argument.h"
#include "launcher/memory/engine_changes.h"
#include "launcher/memory/model/not_planned.h"

namespace batchproxy {

// Nothing where the user leaves it to vLLM.
struct EngineFlags {
  Version version = kNewestKnown;
  std::optional<double> gpu_memory_utilization;
  std::optional<std::int64_t> max_model_len;
  std::optional<std::int64_t> max_num_seqs;
  std::optional<std::int64_t> max_num_batched_tokens;
  std::optional<std::int64_t> tensor_parallel_size;
  std::int64_t pipeline_parallel_size = 1;
  std::int64_t data_parallel_size = 1;
  std::string kv_cache_dtype = "auto";
  std::optional<std::int64_t> kv_cache_memory;  // bytes per GPU
  std::int64_t cpu_offload = 0;                 // bytes per GPU
  std::string quantization;
  std::string dtype = "auto";
  std::int64_t block_size = 16;
  bool enforce_eager = false;
  bool enable_lora = false;
  std::optional<bool> enable_prefix_caching;
  std::int64_t mtp_tokens = 0;  // that MTP layers guess ahead; 0 without them

  std::int64_t tensor_parallel() const { return tensor_parallel_size.value_or(1); }
  std::int64_t gpus() const {
    return tensor_parallel() * pipeline_parallel_size * data_parallel_size;
  }
};

// The flags among `arguments`, which the loader has checked as far as it knows them. A reason for
// values that cannot be used, and for what has no formula (a draft model of its own).
Planned<EngineFlags> engine_flags(const Arguments& arguments, Version version = kNewestKnown);

// Bytes of an element of --dtype.
std::int64_t dtype_bytes(const EngineFlags& flags);

}  // namespace batchproxy
