// backends/sim/api/api_request.cc - the fields of the generation endpoints, and vLLM's limits on
// them.
#include "backends/sim/api/api_request.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <utility>

#include <boost/json/array.hpp>

#include "backends/sim/api/request_fields.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr int kDefaultCompletionTokens = 16;
constexpr int kMostSequences = 16384;  // VLLM_MAX_N_SEQUENCES
constexpr int kMostLogprobs = 20;      // --max-logprobs
constexpr std::size_t kMostStops = 4;
constexpr double kGreedy = 1e-5;  // temperatures below sample greedily

struct RealLimit {
  std::string_view name;
  bool (*holds)(double);
  std::string_view demand;
  bool named = false;  // the refusal repeats the field
};

constexpr RealLimit kRealLimits[] = {
    {"temperature", [](double v) { return std::isfinite(v); }, "must be a finite number", true},
    {"temperature", [](double v) { return v >= 0; }, "must be non-negative", true},
    {"top_p", [](double v) { return v > 0 && v <= 1; }, "must be in (0, 1]", true},
    {"min_p", [](double v) { return v >= 0 && v <= 1; }, "must be in [0, 1]"},
    {"presence_penalty", [](double v) { return v >= -2 && v <= 2; }, "must be in [-2, 2]"},
    {"frequency_penalty", [](double v) { return v >= -2 && v <= 2; }, "must be in [-2, 2]"},
    {"repetition_penalty", [](double v) { return v > 0; }, "must be greater than zero"},
};

void check_sampling_fields(const json::object& body, int n) {
  for (const RealLimit& limit : kRealLimits) {
    const std::optional<double> value = real_field(body, limit.name);
    if (!value || limit.holds(*value)) continue;
    const std::string text = std::string(limit.name) + " " + std::string(limit.demand) + ", got " +
                             python_float(*value) + ".";
    throw limit.named ? bad_value(text, limit.name, python_float(*value)) : bad_request(text);
  }
  if (const auto top_k = integer_field(body, "top_k"); top_k && top_k->value < -1) {
    throw bad_request("top_k must be 0 (disable), or at least 1, got " + top_k->shown + ".");
  }
  if (n > 1 && real_field(body, "temperature").value_or(1) < kGreedy) {
    throw bad_request("n must be 1 when using greedy sampling, got " + std::to_string(n) + ".");
  }
  if (const auto salt = field(body, "cache_salt");
      salt != nullptr && (!salt->is_string() || salt->get_string().empty())) {
    throw bad_field("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt");
  }
  integer_field(body, "priority");
}

int sequences_field(const json::object& body) {
  const std::optional<Integer> n = count_field(body, "n", 1, false);
  if (!n) return 1;
  if (n->value > kMostSequences) {
    throw bad_request("n must be at most " + std::to_string(kMostSequences) + ", got " + n->shown +
                      ". To increase this limit, set the VLLM_MAX_N_SEQUENCES environment "
                      "variable.");
  }
  return static_cast<int>(n->value);
}

std::optional<std::int64_t> seed_field(const json::object& body) {
  const std::optional<Integer> seed = integer_field(body, "seed");
  if (!seed) return std::nullopt;
  if (seed->shown != std::to_string(seed->value)) {  // does not fit into 64 bits
    throw schema_error({"less_than_equal", "seed",
                        "Input should be less than or equal to 9223372036854775807",
                        *field(body, "seed"), "{'le': 9223372036854775807}"});
  }
  return seed->value;
}

std::optional<int> output_field(const json::object& body, std::string_view name,
                                int max_model_len) {
  const std::optional<Integer> tokens = count_field(body, name, 1);
  if (!tokens) return std::nullopt;
  if (tokens->value > max_model_len) {
    throw bad_value(std::string(name) + "=" + tokens->shown +
                        " cannot be greater than max_model_len=" + std::to_string(max_model_len) +
                        ". Please request fewer output tokens.",
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

// `kind` is "sample" or "prompt"; `parameter` the name under which it is refused.
std::optional<int> logprobs_field(const json::object& body, std::string_view name,
                                  std::string_view kind, std::string_view parameter) {
  const std::optional<Integer> logprobs = integer_field(body, name);
  if (!logprobs) return std::nullopt;
  if (logprobs->value < -1) {
    throw bad_field("`" + std::string(name) + "` must be a positive value or -1.", name);
  }
  // -1 is the whole vocabulary.
  const std::int64_t wanted = logprobs->value == -1 ? vocabulary_size() : logprobs->value;
  if (wanted > kMostLogprobs) {
    throw bad_value("Requested " + std::string(kind) + " logprobs of " + std::to_string(wanted) +
                        ", which is greater than max allowed: " + std::to_string(kMostLogprobs),
                    parameter, std::to_string(wanted));
  }
  return static_cast<int>(wanted);
}

std::vector<std::string> stop_field(const json::object& body) {
  std::vector<std::string> stop = strings_field(body, "stop");
  if (std::ranges::find(stop, "") != stop.end()) {
    throw bad_request("stop cannot contain an empty string.");
  }
  if (stop.size() > kMostStops) {
    const json::value& given = *field(body, "stop");
    throw schema_errors(
        {{"string_type", "stop", "Input should be a valid string", given},
         {"too_long", "stop",
          "List should have at most 4 items after validation, not " + std::to_string(stop.size()),
          given,
          "{'field_type': 'List', 'max_length': 4, 'actual_length': " +
              std::to_string(stop.size()) + "}"}});
  }
  return stop;
}

void read_stream_fields(GenerationRequest& request, const json::object& body) {
  request.stream = bool_field(body, "stream");
  const json::value* options = field(body, "stream_options");
  if (options == nullptr) return;
  if (!request.stream) {
    throw bad_field("Stream options can only be defined when `stream=True`.", "stream_options");
  }
  if (!options->is_object()) {
    throw schema_error(
        {"dict_type", "stream_options", "Input should be a valid dictionary", *options});
  }
  request.include_usage = bool_field(options->get_object(), "include_usage");
  request.continuous_usage = bool_field(options->get_object(), "continuous_usage_stats");
}

// Just enough of a grammar to refuse what is none.
void check_structure(const json::object& body) {
  const json::value* structure = field(body, "structured_outputs");
  if (structure == nullptr || !structure->is_object()) return;
  const std::optional<std::string> regex = string_field(structure->get_object(), "regex");
  if (!regex) return;
  try {
    const std::regex compiled(*regex);
  } catch (const std::regex_error& error) {
    throw bad_request("Grammar error: invalid regex \"" + *regex + "\": " + error.what());
  }
}

void read_prompt_logprobs(GenerationRequest& request, const json::object& body) {
  request.prompt_logprobs = logprobs_field(body, "prompt_logprobs", "prompt", "prompt_logprobs");
  if (request.prompt_logprobs && request.stream) {
    throw bad_field("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs");
  }
  if (request.echo && !request.stream && !request.prompt_logprobs) {
    request.prompt_logprobs = request.logprobs;
  }
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
  request.logprobs = logprobs_field(body, "logprobs", "sample", "logprobs");
  if (!string_field(body, "suffix").value_or("").empty()) {
    throw bad_request("suffix is only supported for models with FIM completion rendering",
                      "suffix");
  }
  const json::value* prompt = field(body, "prompt");
  if (prompt == nullptr || *prompt == "") {
    throw bad_field("Either prompt or prompt_embeds must be provided and non-empty.", "prompt");
  }
  request.prompts = prompt_list(*prompt, "prompt");
}

std::vector<Prompt> conversations(const json::value& messages) {
  if (!messages.is_array() || messages.get_array().empty()) {
    throw schema_error({"too_short", "messages",
                        "List should have at least 1 item after validation, not 0", messages,
                        "{'field_type': 'List', 'min_length': 1, 'actual_length': 0}"});
  }
  std::vector<Prompt> prompts;
  for (const json::value& one : messages.get_array()) prompts.push_back(chat_prompt(one));
  return prompts;
}

void read_chat_fields(Endpoint endpoint, GenerationRequest& request, const json::object& body,
                      int max_model_len) {
  request.max_tokens = output_field(body, "max_completion_tokens", max_model_len);
  if (!request.max_tokens) request.max_tokens = output_field(body, "max_tokens", max_model_len);
  const std::optional<int> top = logprobs_field(body, "top_logprobs", "sample", "logprobs");
  if (bool_field(body, "logprobs")) {
    request.logprobs = top.value_or(0);
  } else if (top.value_or(0) > 0) {
    throw bad_field("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs");
  }
  if (const json::value* tools = field(body, "tools");
      tools != nullptr && string_field(body, "tool_choice").value_or("auto") == "auto") {
    throw bad_request(
        "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be "
        "set");
  }
  const json::value& messages = required_field(body, "messages");
  if (endpoint == Endpoint::kChatBatch) {
    request.prompts = conversations(messages);
    if (request.n > 1) throw bad_request("Batched chat completions do not support n > 1.");
    request.stream = false;  // the field is ignored
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
  read_prompt_logprobs(request, body);
  check_structure(body);
  request.min_tokens = min_tokens_field(body, request.max_tokens);
  check_lengths(request.prompts, true, options.max_model_len);
  return request;
}

Prompt parse_tokenize(const json::object& body) {
  if (const json::value* messages = field(body, "messages")) return chat_prompt(*messages);
  if (std::optional<std::string> text = string_field(body, "prompt")) {
    return text_prompt(*std::move(text));
  }
  throw schema_errors({{"missing", "prompt", "Field required", body},
                       {"missing", "messages", "Field required", body}});
}

}  // namespace batchproxy::sim
