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

bool is_negative(const json::value& value) {
  return value.is_int64() && value.get_int64() < 0;
}

Complaint negative(const json::value& value, std::string at) {
  return {"greater_than_equal", std::move(at), "Input should be greater than or equal to 0", value,
          "{'ge': 0}"};
}

// What pydantic has against `value` as each of the four forms of a prompt, one after the other.
ApiError no_prompts(const json::value& value, std::string_view name) {
  const std::string field(name);
  const Complaint no_list{"list_type", field, "Input should be a valid list", value};
  const Complaint no_string{"string_type", field, "Input should be a valid string", value};
  if (!value.is_array()) return schema_errors({no_list, no_list, no_string, no_list});
  std::vector<Complaint> ids, lists, texts;
  for (std::size_t i = 0; i < value.get_array().size(); ++i) {
    const json::value& one = value.get_array()[i];
    const std::string at = field + "." + std::to_string(i);
    if (one.is_string()) {
      ids.push_back({"int_parsing", at,
                     "Input should be a valid integer, unable to parse string as an integer", one});
    } else if (is_negative(one)) {
      ids.push_back(negative(one, at));
    } else if (!is_integer(one)) {
      ids.push_back({"int_type", at, "Input should be a valid integer", one});
    }
    if (!one.is_array()) lists.push_back({"list_type", at, "Input should be a valid list", one});
    if (!one.is_string()) {
      texts.push_back({"string_type", at, "Input should be a valid string", one});
    }
  }
  ids.insert(ids.end(), lists.begin(), lists.end());
  ids.push_back(no_string);
  ids.insert(ids.end(), texts.begin(), texts.end());
  return schema_errors(ids);
}

Prompt token_prompt(const json::value& list, std::string_view name) {
  Prompt prompt;
  prompt.tokens = token_ids(list, name);
  prompt.ids = true;
  prompt.text = detokenize(prompt.tokens);
  prompt.question = prompt.text;
  return prompt;
}

std::string message_content(const json::object& message) {
  const json::value* content = field(message, "content");
  if (content == nullptr) return {};
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) {
    throw schema_error({"string_type", "messages", "Input should be a valid string", *content});
  }
  std::string text;
  for (const json::value& part : content->get_array()) {
    const json::value* type = part.is_object() ? field(part.get_object(), "type") : nullptr;
    const json::value* words = part.is_object() ? field(part.get_object(), "text") : nullptr;
    if (type == nullptr || *type != "text" || words == nullptr || !words->is_string()) {
      throw bad_request("A simulated model is not a multimodal model");
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
    throw schema_error({"list_type", "messages", "Input should be a valid list", messages});
  }
  if (messages.get_array().empty()) {
    throw bad_request(
        "Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  std::string text;
  std::string last;
  for (const json::value& message : messages.get_array()) {
    const json::value* role = message.is_object() ? field(message.get_object(), "role") : nullptr;
    if (role == nullptr || !role->is_string()) {
      throw schema_error({"missing", "messages", "Each message needs a role", message});
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
    throw bad_request("You must pass at least one prompt");
  }
  if (!list.empty() && std::ranges::all_of(list, is_integer)) {
    if (std::ranges::any_of(list, is_negative)) throw no_prompts(value, name);
    return {token_prompt(value, name)};
  }

  const auto is_string = [](const json::value& one) { return one.is_string(); };
  const auto is_list = [](const json::value& one) { return one.is_array(); };
  const bool texts = !list.empty() && std::ranges::all_of(list, is_string);
  if (!texts && (list.empty() || !std::ranges::all_of(list, is_list))) {
    throw no_prompts(value, name);
  }
  if (std::ssize(list) > kMostPrompts) {
    throw bad_field(std::string(name) + " list length " + std::to_string(list.size()) +
                        " exceeds the maximum allowed count of " + std::to_string(kMostPrompts) +
                        ".",
                    name);
  }
  std::vector<Prompt> prompts;
  for (const json::value& one : list) {
    prompts.push_back(texts ? text_prompt(std::string(one.get_string())) : token_prompt(one, name));
  }
  return prompts;
}

std::vector<Token> token_ids(const json::value& list, std::string_view name) {
  if (!list.is_array()) {
    throw schema_error({"list_type", std::string(name), "Input should be a valid list", list});
  }
  std::vector<Token> tokens;
  tokens.reserve(list.get_array().size());
  for (const json::value& token : list.get_array()) {
    if (!is_integer(token)) {
      throw schema_error({"int_type", std::string(name), "Input should be a valid integer", token});
    }
    if (is_negative(token)) throw schema_error(negative(token, std::string(name)));
    if (token.is_uint64() || token.get_int64() >= vocabulary_size()) {
      throw bad_request("Token id " + std::to_string(token.to_number<std::uint64_t>()) +
                        " is out of vocabulary");
    }
    tokens.push_back(token.get_int64());
  }
  return tokens;
}

void check_lengths(const std::vector<Prompt>& prompts, bool answers, int max_model_len) {
  for (const Prompt& prompt : prompts) {
    if (prompt.tokens.empty()) throw bad_request("The decoder prompt cannot be empty");
    const std::int64_t length = std::ssize(prompt.tokens);
    if (length > max_model_len) {
      // Of a text it reads no further than one token too many.
      const std::int64_t read = prompt.ids ? length : max_model_len + 1;
      const std::string count = std::to_string(read);
      const std::string about = read == max_model_len + 1 ? "at least " : "";
      throw bad_value("This model's maximum context length is " + std::to_string(max_model_len) +
                          " tokens. However, your prompt contains " + about + count +
                          " input tokens, which exceeds this limit even without any output "
                          "tokens. Please reduce the length of the input prompt.",
                      "input_tokens", count);
    }
    if (answers && length == max_model_len) {
      throw bad_value("max_tokens must be at least 1, got 0.", "max_tokens", "0");
    }
  }
}

}  // namespace batchproxy::sim
