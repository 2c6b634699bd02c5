// backends/sim/sizing.cc - from flags and hardware to memory and context.
#include "backends/sim/sizing.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace batchproxy::sim {
namespace {

ModelShape shape_of(const SimFlags& flags) {
  ModelShape shape =
      flags.shape ? *flags.shape : read_model_shape(flags.model).value_or(ModelShape{});
  if (flags.is_kv_fp8) shape.element_bytes = 1;
  return shape;
}

// As --sim-kv-memory says, or as much as the hardware has left.
KvMemory kv_memory_of(const SimFlags& flags, const Hardware& hardware) {
  KvMemory memory;
  memory.version = flags.version;
  if (flags.kv_memory_gib) {
    memory.gib = *flags.kv_memory_gib;
    memory.bytes_per_token = kv_bytes_per_token(shape_of(flags), flags.tensor_parallel_size,
                                                flags.pipeline_parallel_size);
    return memory;
  }
  const int gpus = flags.tensor_parallel_size * flags.pipeline_parallel_size;
  const std::int64_t tokens =
      hardware.kv_tokens(flags.gpu_memory_utilization, flags.pipeline_parallel_size);
  memory.bytes_per_token = kKvBytesPerToken / gpus;
  memory.gib = static_cast<double>(std::max<std::int64_t>(tokens, 0)) * memory.bytes_per_token /
               (1024.0 * 1024.0 * 1024.0);
  return memory;
}

// Without a max_model_len vLLM takes the model's; so do we where we know the model or its memory.
int max_model_len_of(const SimFlags& flags, std::int64_t kv_tokens) {
  if (flags.max_model_len) return *flags.max_model_len;
  const int longest = shape_of(flags).max_position;
  const bool is_models = flags.kv_memory_gib.has_value() && !flags.fits_model_len;
  return is_models ? longest : static_cast<int>(std::min<std::int64_t>(kv_tokens, longest));
}

}  // namespace

Sizing sizing_of(const SimFlags& flags, const Hardware& hardware) {
  Sizing sizing;
  sizing.memory = kv_memory_of(flags, hardware);
  sizing.max_model_len = max_model_len_of(flags, sizing.memory.tokens());
  return sizing;
}

std::optional<Failure> failure_while_loading(const SimFlags& flags, const Sizing& sizing) {
  if (does_fail(flags)) return failure_of(flags);
  std::string error = kv_error(sizing.memory, sizing.max_model_len);
  if (error.empty()) return std::nullopt;
  return kv_failure(std::move(error));
}

}  // namespace batchproxy::sim
