// backends/sim/api/api_request.h - from a JSON body to a checked generation request, with vLLM's
// defaults, limits and error messages.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "backends/sim/api/api_options.h"
#include "backends/sim/api/prompts.h"

namespace batchproxy::sim {

struct GenerationRequest {
  bool chat = false;
  std::vector<Prompt> prompts;
  int n = 1;
  std::optional<int> max_tokens;  // of output; absent: as many as fit (chat), 16 (completion)
  int min_tokens = 0;
  bool ignore_eos = false;
  bool echo = false;
  std::optional<int> logprobs;         // number of alternatives
  std::optional<int> prompt_logprobs;  // likewise
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool return_token_ids = false;

  // Most tokens that the engine may generate for `prompt`.
  int output_limit(const Prompt& prompt, int max_model_len) const;
};

enum class Endpoint : std::uint8_t { kCompletions, kChat, kChatBatch };

// Throws ApiError for what vLLM would refuse, over-long prompts included.
GenerationRequest parse_generation(Endpoint endpoint, const boost::json::object& body,
                                   const ApiOptions& options);

// "prompt" or "messages" of a /tokenize body.
Prompt parse_tokenize(const boost::json::object& body);

}  // namespace batchproxy::sim
