// backends/body_scan.cc - see body_scan.h.
#include "backends/body_scan.h"

#include "backends/http/buffer.h"

namespace batchproxy {

static_assert(Buffer::kPadding >= BodyScanner::kPadding, "bodies are scanned where they were read");

namespace {

namespace ondemand = simdjson::ondemand;

Error invalid_json(simdjson::error_code code) {
  return {Errc::kInvalidJson,
          std::string("The request body is not valid JSON: ") + simdjson::error_message(code)};
}

Error wrong_type(std::string param, std::string expected) {
  return {Errc::kInvalidRequest, "`" + param + "` must be " + std::move(expected) + ".", param};
}

// How many prompts the value of `prompt` holds: [1,2,3] is one prompt of token ids, [[1],[2]] and
// ["a","b"] are two.
Result<std::uint32_t> count_prompts(ondemand::value value) {
  ondemand::json_type type;
  if (auto error = value.type().get(type)) return invalid_json(error);
  if (type != ondemand::json_type::array) return std::uint32_t{1};
  ondemand::array prompts;
  if (auto error = value.get_array().get(prompts)) return invalid_json(error);
  std::uint32_t count = 0;
  for (auto element : prompts) {
    ondemand::json_type of_element;
    if (auto error = element.type().get(of_element)) return invalid_json(error);
    if (of_element == ondemand::json_type::number) return std::uint32_t{1};
    ++count;
  }
  return count == 0 ? std::uint32_t{1} : count;  // an empty list is the engine's to refuse
}

}  // namespace

Result<BodyScan> BodyScanner::scan(std::string_view body, BodyKind kind) {
  ondemand::document document;
  const simdjson::padded_string_view padded(body.data(), body.size(), body.size() + kPadding);
  if (auto error = parser_.iterate(padded).get(document)) return invalid_json(error);
  ondemand::object object;
  if (auto error = document.get_object().get(object)) {
    if (error != simdjson::INCORRECT_TYPE) return invalid_json(error);
    return Error{Errc::kInvalidRequest, "The request body must be a JSON object."};
  }
  BodyScan scan;
  bool saw_model = false, saw_stream = false, saw_prompt = false;
  const auto twice = [](bool& seen) { return std::exchange(seen, true); };
  for (auto field : object) {
    std::string_view key;
    if (auto error = field.unescaped_key().get(key)) return invalid_json(error);
    ondemand::value value;
    if (auto error = field.value().get(value)) return invalid_json(error);
    if (key == "model") {
      if (twice(saw_model)) return wrong_type("model", "given once");
      bool null = false;
      if (auto error = value.is_null().get(null)) return invalid_json(error);
      if (!null && value.get_string().get(scan.model)) return wrong_type("model", "a string");
    } else if (key == "stream") {
      if (twice(saw_stream)) return wrong_type("stream", "given once");
      bool null = false;
      if (auto error = value.is_null().get(null)) return invalid_json(error);
      if (!null && value.get_bool().get(scan.streaming))
        return wrong_type("stream", "true or false");
    } else if (key == "prompt" && kind == BodyKind::kCompletion) {
      if (twice(saw_prompt)) return wrong_type("prompt", "given once");
      auto prompts = count_prompts(value);
      if (!prompts) return prompts.error();
      scan.prompts = *prompts;
    }
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return Error{Errc::kInvalidJson, "The request body goes on after its JSON object."};
  }
  return scan;
}

}  // namespace batchproxy
