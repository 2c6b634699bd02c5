// backends/sim/api_request.h - from a JSON body to a checked generation request, with vLLM's
// defaults, limits and error messages.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "backends/sim/tokenizer.h"

namespace batchproxy {

// Ends the handling of a request with an error reply in vLLM's shape.
struct ApiError : std::runtime_error {
  ApiError(int status_code, std::string error_type, const std::string& message,
           std::string parameter = {})
      : std::runtime_error(message),
        status(status_code),
        type(std::move(error_type)),
        param(std::move(parameter)) {}

  int status;
  std::string type;
  std::string param;  // empty: null
};

// The body cannot be read as what the endpoint takes.
ApiError schema_error(const std::string& message);

// The body can be read, but asks for something impossible.
ApiError bad_request(const std::string& message, std::string parameter = {});

struct Prompt {
  std::string text;
  std::vector<Token> tokens;
  std::string question;  // what the answer depends on: `text`, or the last message of a chat
};

struct GenerationRequest {
  bool chat = false;
  std::vector<Prompt> prompts;
  int n = 1;
  std::optional<int> max_tokens;  // of output; absent: as many as fit (chat), 16 (completion)
  int min_tokens = 0;
  bool ignore_eos = false;
  bool echo = false;
  std::optional<int> logprobs;  // number of alternatives
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

boost::json::object parse_object(std::string_view body);

// Throws ApiError for what vLLM would refuse, over-long prompts included.
GenerationRequest parse_generation(Endpoint endpoint, const boost::json::object& body,
                                   int max_model_len);

// "prompt" or "messages" of a /tokenize body.
Prompt parse_tokenize(const boost::json::object& body);

std::vector<Token> parse_token_ids(const boost::json::value& list);

// The model that a request names; empty for none, which means the served one.
std::string parse_model(const boost::json::object& body);

}  // namespace batchproxy
