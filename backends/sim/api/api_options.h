// backends/sim/api/api_options.h - what a simulated server is told about itself.
//
// Threading: plain data.
#pragma once

#include <string>
#include <vector>

#include "backends/sim/model/answers.h"

namespace batchproxy::sim {

struct ApiOptions {
  std::string model;
  std::vector<std::string> served_names;  // at least one
  std::vector<std::string> api_keys;      // empty: everybody may call
  int max_model_len = 4096;
  double gpu_memory_utilization = 0.9;
  AnswerMode answer_mode = AnswerMode::kLetters;
  bool token_ids = true;  // `return_token_ids` is known; vLLM before 0.10.2 ignores it
  // Adapters can be loaded and unloaded: VLLM_ALLOW_RUNTIME_LORA_UPDATING.
  bool runtime_lora = false;
  bool pooling = false;         // --runner pooling: embeds, scores and ranks instead of generating
  bool tokenizer_info = false;  // --enable-tokenizer-info-endpoint
};

}  // namespace batchproxy::sim
