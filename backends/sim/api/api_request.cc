// backends/sim/api/api_request.cc - the fields of the generation endpoints, and vLLM's limits on
// them.
#include "backends/sim/api/api_request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include <boost/json/array.hpp>

#include "backends/sim/api/request_fields.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr int kDefaultCompletionTokens = 16;
constexpr int kMostSequences = 16384;  // VLLM_MAX_N_SEQUENCES
constexpr int kMostLogprobs = 20;      // --max-logprobs
constexpr double kGreedy = 1e-5;       // temperatures below sample greedily

struct RealLimit {
  std::string_view name;
  bool (*holds)(double);
  std::string_view demand;
};

constexpr RealLimit kRealLimits[] = {
    {"temperature", [](double v) { return std::isfinite(v); }, "must be a finite number"},
    {"temperature", [](double v) { return v >= 0; }, "must be non-negative"},
    {"top_p", [](double v) { return v > 0 && v <= 1; }, "must be in (0, 1]"},
    {"min_p", [](double v) { return v >= 0 && v <= 1; }, "must be in [0, 1]"},
    {"presence_penalty", [](double v) { return v >= -2 && v <= 2; }, "must be in [-2, 2]"},
    {"frequency_penalty", [](double v) { return v >= -2 && v <= 2; }, "must be in [-2, 2]"},
    {"repetition_penalty", [](double v) { return v > 0; }, "must be greater than zero"},
};

std::string shortest(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

void check_sampling_fields(const json::object& body, int n) {
  for (const RealLimit& limit : kRealLimits) {
    const std::optional<double> value = real_field(body, limit.name);
    if (!value || limit.holds(*value)) continue;
    throw bad_value(std::string(limit.name) + " " + std::string(limit.demand) + ", got " +
                        shortest(*value) + ".",
                    limit.name, shortest(*value));
  }
  if (const auto top_k = integer_field(body, "top_k"); top_k && top_k->value < -1) {
    throw bad_request("top_k must be 0 (disable), or at least 1, got " + top_k->shown + ".");
  }
  if (n > 1 && real_field(body, "temperature").value_or(1) < kGreedy) {
    throw bad_request("n must be 1 when using greedy sampling, got " + std::to_string(n) + ".");
  }
  if (const auto salt = field(body, "cache_salt");
      salt != nullptr && (!salt->is_string() || salt->get_string().empty())) {
    throw validator_error("Parameter 'cache_salt' must be a non-empty string if provided.",
                          "cache_salt");
  }
  integer_field(body, "priority");
}

int sequences_field(const json::object& body) {
  const std::optional<Integer> n = count_field(body, "n", 1);
  if (!n) return 1;
  if (n->value > kMostSequences) {
    throw bad_value("n must be at most " + std::to_string(kMostSequences) + ", got " + n->shown +
                        ". To increase this limit, set the VLLM_MAX_N_SEQUENCES environment "
                        "variable.",
                    "n", n->shown);
  }
  return static_cast<int>(n->value);
}

std::optional<std::int64_t> seed_field(const json::object& body) {
  const std::optional<Integer> seed = integer_field(body, "seed");
  if (!seed) return std::nullopt;
  if (seed->shown != std::to_string(seed->value)) {  // does not fit into 64 bits
    throw schema_error("less_than_equal", "seed",
                       "Input should be less than or equal to 9223372036854775807");
  }
  return seed->value;
}

std::optional<int> output_field(const json::object& body, std::string_view name,
                                int max_model_len) {
  const std::optional<Integer> tokens = count_field(body, name, 1);
  if (!tokens) return std::nullopt;
  if (tokens->value > max_model_len) {
    throw bad_value(std::string(name) + "=" + tokens->shown +
                        " cannot be greater than max_model_len=max_total_tokens=" +
                        std::to_string(max_model_len) + ". Please request fewer output tokens.",
                    name, tokens->shown);
  }
  return static_cast<int>(tokens->value);
}

int min_tokens_field(const json::object& body, std::optional<int> max_tokens) {
  const std::optional<Integer> least = integer_field(body, "min_tokens");
  if (!least) return 0;
  if (least->value < 0) {
    throw bad_request("min_tokens must be greater than or equal to 0, got " + least->shown + ".");
  }
  if (max_tokens && least->value > *max_tokens) {
    throw bad_request("min_tokens must be less than or equal to max_tokens=" +
                      std::to_string(*max_tokens) + ", got " + least->shown + ".");
  }
  return static_cast<int>(std::min<std::int64_t>(least->value, 1 << 30));
}

std::optional<int> logprobs_field(const json::object& body, std::string_view name) {
  const std::optional<Integer> logprobs = integer_field(body, name);
  if (!logprobs) return std::nullopt;
  if (logprobs->value < 0) {
    throw validator_error("`" + std::string(name) + "` must be a positive value.", name);
  }
  if (logprobs->value > kMostLogprobs) {
    throw bad_value("Requested sample logprobs of " + logprobs->shown +
                        ", which is greater than max allowed: " + std::to_string(kMostLogprobs),
                    name, logprobs->shown);
  }
  return static_cast<int>(logprobs->value);
}

std::vector<std::string> stop_field(const json::object& body) {
  std::vector<std::string> stop = strings_field(body, "stop");
  if (std::ranges::find(stop, "") != stop.end()) {
    throw bad_request("stop cannot contain an empty string.");
  }
  return stop;
}

void read_stream_fields(GenerationRequest& request, const json::object& body) {
  request.stream = bool_field(body, "stream");
  const json::value* options = field(body, "stream_options");
  if (options == nullptr) return;
  if (!request.stream) {
    throw validator_error("Stream options can only be defined when `stream=True`.",
                          "stream_options");
  }
  if (!options->is_object()) {
    throw schema_error("dict_type", "stream_options", "Input should be a valid dictionary");
  }
  request.include_usage = bool_field(options->get_object(), "include_usage");
  request.continuous_usage = bool_field(options->get_object(), "continuous_usage_stats");
}

void read_completion_fields(GenerationRequest& request, const json::object& body,
                            int max_model_len) {
  request.echo = bool_field(body, "echo");
  const std::optional<Integer> most = integer_field(body, "max_tokens");
  const bool only_echo = request.echo && most && most->value == 0;
  request.max_tokens =
      only_echo
          ? 0
          : output_field(body, "max_tokens", max_model_len).value_or(kDefaultCompletionTokens);
  request.logprobs = logprobs_field(body, "logprobs");
  if (!string_field(body, "suffix").value_or("").empty()) {
    throw bad_request("suffix is not currently supported");
  }
  const json::value* prompt = field(body, "prompt");
  if (prompt == nullptr || *prompt == "") {
    throw validator_error("Either prompt or prompt_embeds must be provided and non-empty.",
                          "prompt");
  }
  request.prompts = prompt_list(*prompt, "prompt");
}

std::vector<Prompt> conversations(const json::value& messages) {
  if (!messages.is_array() || messages.get_array().empty()) {
    throw schema_error("too_short", "messages",
                       "Input should be a valid list of at least one conversation");
  }
  std::vector<Prompt> prompts;
  for (const json::value& one : messages.get_array()) prompts.push_back(chat_prompt(one));
  return prompts;
}

void read_chat_fields(Endpoint endpoint, GenerationRequest& request, const json::object& body,
                      int max_model_len) {
  request.max_tokens = output_field(body, "max_completion_tokens", max_model_len);
  if (!request.max_tokens) request.max_tokens = output_field(body, "max_tokens", max_model_len);
  const std::optional<int> top = logprobs_field(body, "top_logprobs");
  if (bool_field(body, "logprobs")) {
    request.logprobs = top.value_or(0);
  } else if (top.value_or(0) > 0) {
    throw validator_error("when using `top_logprobs`, `logprobs` must be set to true.",
                          "top_logprobs");
  }
  const json::value& messages = required_field(body, "messages");
  if (endpoint == Endpoint::kChatBatch) {
    request.prompts = conversations(messages);
    if (request.n > 1 || request.stream) {
      throw bad_request("Batched chat completions support neither n > 1 nor streaming.");
    }
  } else {
    request.prompts = {chat_prompt(messages)};
  }
}

}  // namespace

int GenerationRequest::output_limit(const Prompt& prompt, int max_model_len) const {
  const int room = max_model_len - static_cast<int>(prompt.tokens.size());
  return std::clamp(max_tokens.value_or(room), 1, room);
}

GenerationRequest parse_generation(Endpoint endpoint, const json::object& body,
                                   const ApiOptions& options) {
  GenerationRequest request;
  request.chat = endpoint != Endpoint::kCompletions;
  request.n = sequences_field(body);
  request.ignore_eos = bool_field(body, "ignore_eos");
  request.seed = seed_field(body);
  request.stop = stop_field(body);
  if (options.token_ids) request.return_token_ids = bool_field(body, "return_token_ids");
  check_sampling_fields(body, request.n);
  read_stream_fields(request, body);
  if (request.chat) {
    read_chat_fields(endpoint, request, body, options.max_model_len);
  } else {
    read_completion_fields(request, body, options.max_model_len);
  }
  request.min_tokens = min_tokens_field(body, request.max_tokens);
  check_lengths(request.prompts, std::max(request.max_tokens.value_or(1), 1),
                options.max_model_len);
  return request;
}

Prompt parse_tokenize(const json::object& body) {
  if (const json::value* messages = field(body, "messages")) return chat_prompt(*messages);
  if (std::optional<std::string> text = string_field(body, "prompt")) {
    return text_prompt(*std::move(text));
  }
  throw schema_error("missing", "prompt", "Field required");
}

}  // namespace batchproxy::sim
