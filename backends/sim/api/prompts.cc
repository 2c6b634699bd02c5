// backends/sim/api/prompts.cc - reading prompts, and vLLM's limits on them.
#include "backends/sim/api/prompts.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>

#include "backends/sim/api/request_fields.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr int kMostPrompts = 1024;  // VLLM_MAX_COMPLETION_PROMPTS

bool is_integer(const json::value& value) {
  return value.is_int64() || value.is_uint64();
}

Prompt token_prompt(const json::value& list, std::string_view name) {
  Prompt prompt;
  prompt.tokens = token_ids(list, name);
  prompt.text = detokenize(prompt.tokens);
  prompt.question = prompt.text;
  return prompt;
}

std::string message_content(const json::object& message) {
  const json::value* content = field(message, "content");
  if (content == nullptr) return {};
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) {
    throw schema_error("string_type", "messages", "Input should be a valid string or list");
  }
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

}  // namespace

Prompt text_prompt(std::string text) {
  Prompt prompt;
  prompt.tokens = tokenize(text);
  prompt.question = text;
  prompt.text = std::move(text);
  return prompt;
}

Prompt chat_prompt(const json::value& messages) {
  if (!messages.is_array()) {
    throw schema_error("list_type", "messages", "Input should be a valid list");
  }
  if (messages.get_array().empty()) throw bad_request("messages must not be empty.", "messages");
  std::string text;
  std::string last;
  for (const json::value& message : messages.get_array()) {
    const json::value* role = message.is_object() ? field(message.get_object(), "role") : nullptr;
    if (role == nullptr || !role->is_string()) {
      throw schema_error("missing", "messages", "Each message needs a role");
    }
    last = message_content(message.get_object());
    text += "<|" + std::string(role->get_string()) + "|>\n" + last + "\n";
  }
  Prompt prompt = text_prompt(text + "<|assistant|>\n");
  prompt.question = std::move(last);
  return prompt;
}

std::vector<Prompt> prompt_list(const json::value& value, std::string_view name) {
  if (value.is_string()) return {text_prompt(std::string(value.get_string()))};
  const json::array none;
  const json::array& list = value.is_array() ? value.get_array() : none;
  if (value.is_array() && list.empty()) {
    throw bad_request("please provide at least one prompt", std::string(name));
  }
  if (!list.empty() && std::ranges::all_of(list, is_integer)) return {token_prompt(value, name)};

  const auto is_string = [](const json::value& one) { return one.is_string(); };
  const auto is_list = [](const json::value& one) { return one.is_array(); };
  const bool texts = !list.empty() && std::ranges::all_of(list, is_string);
  if (!texts && (list.empty() || !std::ranges::all_of(list, is_list))) {
    throw schema_error("string_type", name,
                       "Input should be a valid string, list of strings, list of integers or list "
                       "of lists of integers");
  }
  if (std::ssize(list) > kMostPrompts) {
    throw validator_error(std::string(name) + " list length " + std::to_string(list.size()) +
                              " exceeds the maximum allowed count of " +
                              std::to_string(kMostPrompts) + ".",
                          name);
  }
  std::vector<Prompt> prompts;
  for (const json::value& one : list) {
    prompts.push_back(texts ? text_prompt(std::string(one.get_string())) : token_prompt(one, name));
  }
  return prompts;
}

std::vector<Token> token_ids(const json::value& list, std::string_view name) {
  if (!list.is_array()) throw schema_error("list_type", name, "Input should be a valid list");
  std::vector<Token> tokens;
  tokens.reserve(list.get_array().size());
  for (const json::value& token : list.get_array()) {
    if (!is_integer(token)) {
      throw schema_error("int_type", name, "Input should be a valid integer");
    }
    if (token.is_int64() && token.get_int64() < 0) {
      throw schema_error("greater_than_equal", name, "Input should be greater than or equal to 0");
    }
    if (token.is_uint64() || token.get_int64() >= vocabulary_size()) {
      throw bad_request("Token id " + std::to_string(token.to_number<std::uint64_t>()) +
                        " is out of vocabulary");
    }
    tokens.push_back(token.get_int64());
  }
  return tokens;
}

void check_lengths(const std::vector<Prompt>& prompts, std::int64_t output_tokens,
                   int max_model_len) {
  for (const Prompt& prompt : prompts) {
    if (prompt.tokens.empty()) throw bad_request("The decoder prompt cannot be empty");
    const std::int64_t length = std::ssize(prompt.tokens);
    if (length + output_tokens <= max_model_len) continue;
    const std::string shown = std::to_string(length);
    throw bad_value("This model's maximum context length is " + std::to_string(max_model_len) +
                        " tokens. However, you requested " + std::to_string(output_tokens) +
                        " output tokens and your prompt contains at least " + shown +
                        " input tokens, for a total of at least " +
                        std::to_string(length + output_tokens) +
                        " tokens. Please reduce the length of the input prompt or the number of "
                        "requested output tokens.",
                    "input_tokens", shown);
  }
}

}  // namespace batchproxy::sim
