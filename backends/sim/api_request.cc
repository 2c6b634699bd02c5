// backends/sim/api_request.cc - reading fields with vLLM's types, defaults and limits.
#include "backends/sim/api_request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <boost/json/parse.hpp>

namespace batchproxy {
namespace {

namespace json = boost::json;

constexpr int kDefaultCompletionTokens = 16;
constexpr int kMostPrompts = 1024;     // VLLM_MAX_COMPLETION_PROMPTS
constexpr int kMostSequences = 16384;  // VLLM_MAX_N_SEQUENCES
constexpr int kMostLogprobs = 20;      // --max-logprobs

// The field, or nothing if it is absent or null.
const json::value* field(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

ApiError wrong_type(std::string_view name, std::string_view wanted) {
  return schema_error(std::string(name) + ": Input should be a valid " + std::string(wanted));
}

bool bool_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return false;
  if (!value->is_bool()) throw wrong_type(name, "boolean");
  return value->get_bool();
}

std::optional<std::int64_t> integer_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_int64()) throw wrong_type(name, "integer");
  return value->get_int64();
}

std::optional<int> count_field(const json::object& body, std::string_view name, int least,
                               int most) {
  const std::optional<std::int64_t> value = integer_field(body, name);
  if (!value) return std::nullopt;
  if (*value < least) {
    throw bad_request(std::string(name) + " must be at least " + std::to_string(least) + ", got " +
                          std::to_string(*value) + ".",
                      std::string(name));
  }
  if (*value > most) {
    throw bad_request(std::string(name) + " must be at most " + std::to_string(most) + ", got " +
                          std::to_string(*value) + ".",
                      std::string(name));
  }
  return static_cast<int>(*value);
}

std::vector<std::string> stop_field(const json::object& body) {
  const json::value* value = field(body, "stop");
  if (value == nullptr) return {};
  if (value->is_string()) return {std::string(value->get_string())};
  if (!value->is_array()) throw wrong_type("stop", "string or list of strings");
  std::vector<std::string> stop;
  for (const json::value& word : value->get_array()) {
    if (!word.is_string()) throw wrong_type("stop", "string or list of strings");
    stop.emplace_back(word.get_string());
  }
  return stop;
}

Prompt text_prompt(std::string text) {
  Prompt prompt;
  prompt.tokens = tokenize(text);
  prompt.question = text;
  prompt.text = std::move(text);
  return prompt;
}

Prompt token_prompt(const json::value& list) {
  Prompt prompt;
  prompt.tokens = parse_token_ids(list);
  prompt.text = detokenize(prompt.tokens);
  prompt.question = prompt.text;
  return prompt;
}

std::vector<Prompt> completion_prompts(const json::object& body) {
  const json::value* value = field(body, "prompt");
  std::vector<Prompt> prompts;
  if (value != nullptr && value->is_string()) {
    prompts.push_back(text_prompt(std::string(value->get_string())));
  } else if (value != nullptr && value->is_array() && !value->get_array().empty()) {
    const json::array& list = value->get_array();
    if (list.front().is_int64()) return {token_prompt(*value)};
    if (std::ssize(list) > kMostPrompts) {
      throw bad_request("prompt must hold at most " + std::to_string(kMostPrompts) + " prompts.",
                        "prompt");
    }
    for (const json::value& one : list) {
      if (one.is_string()) {
        prompts.push_back(text_prompt(std::string(one.get_string())));
      } else if (one.is_array()) {
        prompts.push_back(token_prompt(one));
      } else {
        throw wrong_type("prompt",
                         "string, list of strings, list of ints or list of lists of ints");
      }
    }
  } else if (value == nullptr || value->is_array()) {
    throw bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt");
  } else {
    throw wrong_type("prompt", "string, list of strings, list of ints or list of lists of ints");
  }
  return prompts;
}

std::string message_content(const json::object& message) {
  const json::value* content = field(message, "content");
  if (content == nullptr) return {};
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) throw wrong_type("messages", "list of messages");
  std::string text;
  for (const json::value& part : content->get_array()) {
    const json::value* type = part.is_object() ? field(part.get_object(), "type") : nullptr;
    const json::value* words = part.is_object() ? field(part.get_object(), "text") : nullptr;
    if (type == nullptr || *type != "text" || words == nullptr || !words->is_string()) {
      throw bad_request("The simulated model takes parts of type 'text' only.", "messages");
    }
    text += std::string_view(words->get_string());
  }
  return text;
}

// The simulated model's chat template.
Prompt chat_prompt(const json::value& messages) {
  if (!messages.is_array()) throw wrong_type("messages", "list of messages");
  if (messages.get_array().empty()) throw bad_request("messages must not be empty.", "messages");
  std::string text;
  std::string last;
  for (const json::value& message : messages.get_array()) {
    const json::value* role = message.is_object() ? field(message.get_object(), "role") : nullptr;
    if (role == nullptr || !role->is_string()) throw wrong_type("messages", "list of messages");
    last = message_content(message.get_object());
    text += "<|" + std::string(role->get_string()) + "|>\n" + last + "\n";
  }
  Prompt prompt = text_prompt(text + "<|assistant|>\n");
  prompt.question = std::move(last);
  return prompt;
}

std::vector<Prompt> chat_prompts(Endpoint endpoint, const json::object& body) {
  const json::value* messages = field(body, "messages");
  if (messages == nullptr) throw schema_error("messages: Field required");
  if (endpoint == Endpoint::kChat) return {chat_prompt(*messages)};
  if (!messages->is_array() || messages->get_array().empty()) {
    throw wrong_type("messages", "non-empty list of conversations");
  }
  std::vector<Prompt> prompts;
  for (const json::value& conversation : messages->get_array()) {
    prompts.push_back(chat_prompt(conversation));
  }
  return prompts;
}

void read_stream_fields(GenerationRequest& request, const json::object& body) {
  request.stream = bool_field(body, "stream");
  const json::value* options = field(body, "stream_options");
  if (options == nullptr) return;
  if (!request.stream) {
    throw bad_request("Stream options can only be defined when `stream=True`.", "stream_options");
  }
  if (!options->is_object()) throw wrong_type("stream_options", "dictionary");
  request.include_usage = bool_field(options->get_object(), "include_usage");
  request.continuous_usage = bool_field(options->get_object(), "continuous_usage_stats");
}

void read_completion_fields(GenerationRequest& request, const json::object& body) {
  constexpr int kMost = std::numeric_limits<int>::max();
  request.echo = bool_field(body, "echo");
  request.max_tokens = count_field(body, "max_tokens", request.echo ? 0 : 1, kMost)
                           .value_or(kDefaultCompletionTokens);
  request.logprobs = count_field(body, "logprobs", 0, kMostLogprobs);
  if (const json::value* suffix = field(body, "suffix"); suffix != nullptr && *suffix != "") {
    throw bad_request("suffix is not currently supported", "suffix");
  }
}

void read_chat_fields(GenerationRequest& request, const json::object& body) {
  constexpr int kMost = std::numeric_limits<int>::max();
  request.max_tokens = count_field(body, "max_completion_tokens", 1, kMost);
  if (!request.max_tokens) request.max_tokens = count_field(body, "max_tokens", 1, kMost);
  const std::optional<int> top = count_field(body, "top_logprobs", 0, kMostLogprobs);
  if (bool_field(body, "logprobs")) {
    request.logprobs = top.value_or(0);
  } else if (top.value_or(0) > 0) {
    throw bad_request("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs");
  }
}

void check_length(const GenerationRequest& request, int max_model_len) {
  for (const Prompt& prompt : request.prompts) {
    if (prompt.tokens.empty()) throw bad_request("The decoder prompt cannot be empty", "prompt");
    const std::int64_t length = std::ssize(prompt.tokens);
    const std::int64_t output = std::max(request.max_tokens.value_or(1), 1);
    if (length + output <= max_model_len) continue;
    throw bad_request("This model's maximum context length is " + std::to_string(max_model_len) +
                          " tokens. However, you requested " + std::to_string(output) +
                          " output tokens and your prompt contains " + std::to_string(length) +
                          " input tokens. Please reduce the length of the prompt or the number of "
                          "requested output tokens.",
                      "input_tokens");
  }
}

}  // namespace

ApiError schema_error(const std::string& message) {
  return {400, "Bad Request", message};
}

ApiError bad_request(const std::string& message, std::string parameter) {
  return {400, "BadRequestError", message, std::move(parameter)};
}

int GenerationRequest::output_limit(const Prompt& prompt, int max_model_len) const {
  const int room = max_model_len - static_cast<int>(prompt.tokens.size());
  return std::clamp(max_tokens.value_or(room), 1, room);
}

json::object parse_object(std::string_view body) {
  boost::system::error_code error;
  json::value value = json::parse(body, error);
  if (error) throw schema_error("JSON decode error: " + error.message());
  if (!value.is_object()) throw schema_error("body: Input should be a valid dictionary");
  return std::move(value.get_object());
}

GenerationRequest parse_generation(Endpoint endpoint, const json::object& body, int max_model_len) {
  GenerationRequest request;
  request.chat = endpoint != Endpoint::kCompletions;
  request.n = count_field(body, "n", 1, kMostSequences).value_or(1);
  request.min_tokens = count_field(body, "min_tokens", 0, max_model_len).value_or(0);
  request.ignore_eos = bool_field(body, "ignore_eos");
  request.seed = integer_field(body, "seed");
  request.stop = stop_field(body);
  request.return_token_ids = bool_field(body, "return_token_ids");
  read_stream_fields(request, body);
  if (request.chat) {
    read_chat_fields(request, body);
    request.prompts = chat_prompts(endpoint, body);
  } else {
    read_completion_fields(request, body);
    request.prompts = completion_prompts(body);
  }
  if (endpoint == Endpoint::kChatBatch && (request.n > 1 || request.stream)) {
    throw bad_request("Batched chat completions support neither n > 1 nor streaming.");
  }
  check_length(request, max_model_len);
  return request;
}

Prompt parse_tokenize(const json::object& body) {
  if (const json::value* messages = field(body, "messages")) return chat_prompt(*messages);
  const json::value* prompt = field(body, "prompt");
  if (prompt == nullptr) throw schema_error("prompt: Field required");
  if (!prompt->is_string()) throw wrong_type("prompt", "string");
  return text_prompt(std::string(prompt->get_string()));
}

std::vector<Token> parse_token_ids(const json::value& list) {
  if (!list.is_array()) throw wrong_type("tokens", "list of ints");
  std::vector<Token> tokens;
  tokens.reserve(list.get_array().size());
  for (const json::value& token : list.get_array()) {
    if (!token.is_int64()) throw wrong_type("tokens", "list of ints");
    if (token.get_int64() < 0 || token.get_int64() >= vocabulary_size()) {
      throw bad_request("Token id " + std::to_string(token.get_int64()) + " is out of vocabulary");
    }
    tokens.push_back(token.get_int64());
  }
  return tokens;
}

std::string parse_model(const json::object& body) {
  const json::value* model = field(body, "model");
  if (model == nullptr) return {};
  if (!model->is_string()) throw wrong_type("model", "string");
  return std::string(model->get_string());
}

}  // namespace batchproxy
