// backends/body_scan.cc - see body_scan.h.
#include "backends/body_scan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "backends/http/buffer.h"
#include "backends/raw_json.h"

namespace batchproxy {

static_assert(Buffer::kPadding >= BodyScanner::kPadding, "bodies are scanned where they were read");

namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

// A field that changes what an answer looks like beyond its text, or that no list call takes, and
// the values at which it does not. A request with any other stays alone.
struct Alone {
  std::string_view key;
  std::array<std::string_view, 3> harmless;
};
constexpr std::array kAlone = {Alone{"best_of", {"null", "1"}},
                               Alone{"echo", {"null", "false"}},
                               Alone{"functions", {"null", "[]"}},
                               Alone{"n", {"null", "1"}},
                               Alone{"prompt_embeds", {"null"}},
                               Alone{"prompt_logprobs", {"null"}},
                               Alone{"return_token_ids", {}},  // our own would be a second one
                               Alone{"stream_options", {"null"}},
                               Alone{"suffix", {"null"}},
                               Alone{"tool_choice", {"null"}},
                               Alone{"tools", {"null", "[]"}},
                               Alone{"use_beam_search", {"null", "false"}}};

Error invalid_json(error_code code) {
  return {Errc::kInvalidJson,
          std::string("The request body is not valid JSON: ") + simdjson::error_message(code)};
}

Error wrong_type(std::string param, std::string expected) {
  return {Errc::kInvalidRequest, "`" + param + "` must be " + std::move(expected) + ".", param};
}

// Walks the body's fields once and notes what matters.
class Walk {
 public:
  explicit Walk(BodyKind kind) : kind_(kind) {}

  std::optional<Error> field(std::string_view key, ondemand::value value) {
    if (key == "model") return once(saw_model_, key, [&] { return model(value); });
    if (key == "stream") return once(saw_stream_, key, [&] { return stream(value); });
    if (key == "prompt" && kind_ == BodyKind::kCompletion) {
      return once(saw_prompt_, key, [&] { return prompt(value); });
    }
    if (key == "messages" && (kind_ == BodyKind::kChat || kind_ == BodyKind::kChatBatch)) {
      return once(saw_prompt_, key, [&] { return messages(value); });
    }
    if (kind_ == BodyKind::kOther) return std::nullopt;
    if (key == "max_tokens" || key == "max_completion_tokens") {
      std::int64_t limit = 0;
      // Not a number: absent, or the engine's to refuse.
      if (value.get_int64().get(limit) == simdjson::SUCCESS) {
        brief_ = limit <= BodyScanner::kBriefTokens;
      }
    } else if (const auto alone = std::ranges::find(kAlone, key, &Alone::key);
               alone != kAlone.end()) {
      std::string_view raw;
      if (auto error = raw_json(value, raw)) return invalid_json(error);
      alone_ = alone_ || std::ranges::find(alone->harmless, raw) == alone->harmless.end();
      if (key == "n") choices(raw);
    }
    return std::nullopt;
  }

  BodyScan finish() {
    const bool one = scan_.form == PromptForm::kText || scan_.form == PromptForm::kTokens;
    if (!alone_ && !scan_.streaming && one) {
      if (kind_ == BodyKind::kCompletion) scan_.packing = Packing::kCompletion;
      if (kind_ == BodyKind::kChat) scan_.packing = Packing::kChat;
    }
    // Without max_tokens a completion is short, and a chat goes on to the end of the context.
    scan_.brief = brief_.value_or(kind_ == BodyKind::kCompletion);
    return scan_;
  }

 private:
  template <class Read>
  std::optional<Error> once(bool& seen, std::string_view key, Read read) {
    if (std::exchange(seen, true)) return wrong_type(std::string(key), "given once");
    return read();
  }

  void choices(std::string_view n) {
    if (n == "null") return;
    std::uint16_t value = 0;
    const auto [end, error] = std::from_chars(n.data(), n.data() + n.size(), value);
    const bool plain = error == std::errc() && end == n.data() + n.size();
    scan_.choices = plain ? value : 0;
  }

  std::optional<Error> model(ondemand::value value) {
    bool null = false;
    if (auto error = value.is_null().get(null)) return invalid_json(error);
    if (!null && value.get_string().get(scan_.model)) return wrong_type("model", "a string");
    return std::nullopt;
  }

  std::optional<Error> stream(ondemand::value value) {
    // vLLM takes these spellings for true; what it does not take is for it to refuse.
    std::string_view raw;
    if (auto error = raw_json(value, raw)) return invalid_json(error);
    scan_.streaming = raw == "true" || raw == "1" || raw == "\"true\"" || raw == "\"1\"" ||
                      raw == "\"True\"" || raw == "\"yes\"" || raw == "\"on\"";
    return std::nullopt;
  }

  // [1,2,3] is one prompt of token ids, [[1],[2]] and ["a","b"] are two.
  std::optional<Error> prompt(ondemand::value value) {
    ondemand::json_type type;
    if (auto error = value.type().get(type)) return invalid_json(error);
    if (type == ondemand::json_type::string) scan_.form = PromptForm::kText;
    if (type == ondemand::json_type::array) {
      ondemand::array prompts;
      if (auto error = value.get_array().get(prompts)) return invalid_json(error);
      if (auto error = count(prompts)) return invalid_json(error);
      if (auto error = prompts.raw_json().get(scan_.prompt)) return invalid_json(error);
      return std::nullopt;
    }
    if (auto error = raw_json(value, scan_.prompt)) return invalid_json(error);
    return std::nullopt;
  }

  error_code count(ondemand::array& prompts) {
    std::uint32_t count = 0;
    scan_.form = PromptForm::kList;
    for (auto element : prompts) {
      ondemand::json_type type;
      if (auto error = element.type().get(type)) return error;
      if (type == ondemand::json_type::number) {
        scan_.form = PromptForm::kTokens;
        count = 1;
        break;
      }
      ++count;
    }
    scan_.prompts = std::max(count, 1u);  // an empty list is the engine's to refuse
    return prompts.reset().error();
  }

  std::optional<Error> messages(ondemand::value value) {
    ondemand::json_type type;
    if (auto error = value.type().get(type)) return invalid_json(error);
    if (type != ondemand::json_type::array) return std::nullopt;  // the engine's to refuse
    ondemand::array array;
    if (auto error = value.get_array().get(array)) return invalid_json(error);
    if (kind_ == BodyKind::kChatBatch) {
      std::size_t conversations = 0;
      if (auto error = array.count_elements().get(conversations)) return invalid_json(error);
      scan_.prompts = static_cast<std::uint32_t>(std::max<std::size_t>(conversations, 1));
      scan_.form = PromptForm::kList;
    } else {
      scan_.form = PromptForm::kText;
    }
    if (auto error = array.raw_json().get(scan_.prompt)) return invalid_json(error);
    return std::nullopt;
  }

  const BodyKind kind_;
  BodyScan scan_;
  bool saw_model_ = false, saw_stream_ = false, saw_prompt_ = false;
  bool alone_ = false;
  std::optional<bool> brief_;
};

simdjson::padded_string_view padded(std::string_view body) {
  return simdjson::padded_string_view(body.data(), body.size(),
                                      body.size() + BodyScanner::kPadding);
}

// What is plain to see before parsing, in plainer words than the parser's.
std::optional<Error> check_ends(std::string_view body) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = body.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return Error{Errc::kInvalidJson, "The request has no body."};
  if (body[first] != '{') {
    if (std::string_view("[\"-0123456789tfn").find(body[first]) != std::string_view::npos) {
      return Error{Errc::kInvalidRequest, "The request body must be a JSON object."};
    }
    return Error{Errc::kInvalidJson, "The request body is not JSON: it does not begin with `{`."};
  }
  if (body[body.find_last_not_of(kBlank)] != '}') {
    return Error{Errc::kInvalidJson,
                 "The request body is not valid JSON: it is cut off, or goes on after its object."};
  }
  return std::nullopt;
}

}  // namespace

Result<BodyScan> BodyScanner::scan(std::string_view body, BodyKind kind) {
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);  // a mark that engines skip, too
  if (auto error = check_ends(body)) return *std::move(error);
  ondemand::document document;
  if (auto error = parser_.iterate(padded(body)).get(document)) return invalid_json(error);
  ondemand::object object;
  if (auto error = document.get_object().get(object)) return invalid_json(error);
  Walk walk(kind);
  for (auto field : object) {
    std::string_view key;
    if (auto error = field.unescaped_key().get(key)) return invalid_json(error);
    ondemand::value value;
    if (auto error = field.value().get(value)) return invalid_json(error);
    if (auto error = walk.field(key, value)) return *std::move(error);
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return Error{Errc::kInvalidJson, "The request body goes on after its JSON object."};
  }
  return walk.finish();
}

Result<std::vector<std::string_view>> BodyScanner::elements(std::string_view body,
                                                            std::string_view list) {
  // What follows the list in the body serves as its padding.
  const auto begin = static_cast<std::size_t>(list.data() - body.data());
  const std::size_t behind = body.size() - begin + kPadding;
  ondemand::document document;
  const simdjson::padded_string_view text(list.data(), list.size(), behind);
  if (auto error = parser_.iterate(text).get(document)) return invalid_json(error);
  ondemand::array array;
  if (auto error = document.get_array().get(array)) return invalid_json(error);
  std::vector<std::string_view> raw;
  for (auto element : array) {
    ondemand::value value;
    if (auto error = element.get(value)) return invalid_json(error);
    if (auto error = raw_json(value, raw.emplace_back())) return invalid_json(error);
  }
  return raw;
}

}  // namespace batchproxy
