// configs/vllm/argument_flags.h - arguments of vLLM that have a flag and a variable of ours, since
// people's launch scripts set them beside the model and the GPUs.
//
// Threading: any thread; no state.
#pragma once

#include <array>
#include <string_view>

#include "configs/schema/key.h"

namespace batchproxy {

struct ArgumentFlag {
  std::string_view argument;  // of vllm_args
  KeyFlag flag;
};

inline constexpr std::array kArgumentFlags{
    ArgumentFlag{"gpu_memory_utilization",
                 {"--gpu-memory", "BATCHPROXY_GPU_MEMORY", "FRACTION",
                  "Share of a GPU's memory for its engine (vLLM's gpu_memory_utilization)", 74}},
    ArgumentFlag{"gpu_memory_utilization",
                 {"--gpu-memory-utilization", "BATCHPROXY_GPU_MEMORY_UTILIZATION", "FRACTION",
                  "The same, by vLLM's own name", 75}},
    ArgumentFlag{"max_model_len",
                 {"--max-model-len", "BATCHPROXY_MAX_MODEL_LEN", "TOKENS",
                  "Longest context of the engines (vLLM's max_model_len)", 76}},
    ArgumentFlag{"tensor_parallel_size",
                 {"--tensor-parallel-size", "BATCHPROXY_TENSOR_PARALLEL_SIZE", "N",
                  "GPUs over which an engine splits each layer (vLLM's tensor_parallel_size)", 78}},
};

}  // namespace batchproxy
