// backends/json/body_scan.cc - see body_scan.h.
#include "backends/json/body_scan.h"

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "backends/json/json_fault.h"
#include "backends/json/raw_json.h"
#include "backends/net/buffer.h"
#include "configs/text/number.h"

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

constexpr std::string_view kBlank = " \t\r\n";

Error invalid_json(error_code code) {
  // The parser does not throw, but that it found no memory is not the client's fault.
  if (code == simdjson::MEMALLOC) throw std::bad_alloc();
  return {Errc::kInvalidJson,
          std::string("The request body is not valid JSON: ") + simdjson::error_message(code)};
}

// Where it is not JSON, and what stands there; `error` itself where that cannot be told. Lines and
// columns count from 1, as editors do; bytes from 0, as vLLM does.
Error located(Error error, std::string_view body) {
  const auto at = find_json_fault(body);
  if (!at) return error;
  const std::string_view before = body.substr(0, *at);
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t column = *at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  error.message = "The request body is not valid JSON at line " + std::to_string(line) +
                  ", column " + std::to_string(column) + " (byte " + std::to_string(*at) +
                  "): found " + shown_at(body, *at) + ".";
  return error;
}

Error nested_too_deep(std::size_t limit) {
  return {Errc::kInvalidJson, "The request body nests arrays and objects more than " +
                                  std::to_string(limit) + " deep."};
}

Error wrong_type(std::string param, std::string expected) {
  return {Errc::kInvalidRequest, "`" + param + "` must be " + std::move(expected) + ".", param};
}

Error too_many(std::uint32_t limit, std::string param) {
  return {Errc::kTooManyPrompts,
          "The request holds more than " + std::to_string(limit) +
              " prompts (batchproxy.max_prompts). Send them in several requests.",
          std::move(param)};
}

constexpr bool is_opener(char c) {
  return (c | 0x20) == '{';  // `[` and `{` differ in that bit alone
}

// Whether `text` has more than `limit` openers, in strings or out of them.
bool has_more_openers(std::string_view text, std::size_t limit) {
  constexpr std::size_t kBlock = 128;
  std::size_t openers = 0;
  while (text.size() >= kBlock && openers <= limit) {
    std::uint8_t here = 0;  // a narrow sum over a fixed run: the compiler makes vectors of it
    for (std::size_t i = 0; i < kBlock; ++i) {
      here = static_cast<std::uint8_t>(here + static_cast<std::uint8_t>(is_opener(text[i])));
    }
    openers += here;
    text.remove_prefix(kBlock);
  }
  openers += static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_opener));
  return openers > limit;
}

// Whether the arrays and objects at the start of `text`, which is JSON as far as the parser has
// looked at it, go more than `limit` deep. Most bodies are let through by the first two looks.
bool is_too_deep(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return false;
  if (!has_more_openers(text, limit)) return false;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      do {  // to the end of the string: a quote behind an even number of backslashes
        i = text.find('"', i + 1);
        if (i == std::string_view::npos) return false;
        std::size_t slashes = 0;
        while (text[i - 1 - slashes] == '\\') ++slashes;
        if (slashes % 2 == 0) break;
      } while (true);
    } else if (is_opener(c)) {
      if (++depth > limit) return true;
    } else if ((c | 0x20) == '}') {
      if (--depth == 0) return false;
    }
  }
  return false;
}

// Walks the body's fields once and notes what matters.
class Walk {
 public:
  Walk(BodyKind kind, const BodyLimits& limits) : kind_(kind), limits_(limits) {}

  std::optional<Error> field(std::string_view key, ondemand::value value) {
    if (key == "model") return once(saw_model_, key, [&] { return model(value); });
    if (key == "stream") return once(saw_stream_, key, [&] { return stream(value); });
    if (key == "prompt" && kind_ == BodyKind::kCompletion) {
      return once(saw_prompt_, key, [&] { return prompt(value); });
    }
    if (key == "messages" && (kind_ == BodyKind::kChat || kind_ == BodyKind::kChatBatch)) {
      return once(saw_prompt_, key, [&] { return messages(value); });
    }
    if (kind_ == BodyKind::kPrompted && is_prompt(key) && scan_.prompt.empty()) {
      if (auto error = raw_json(value, scan_.prompt)) return invalid_json(error);
    }
    if (kind_ == BodyKind::kOther || kind_ == BodyKind::kPrompted) return std::nullopt;
    if (key == "max_tokens" || key == "max_completion_tokens") {
      std::int64_t limit = 0;
      // Not a number: absent, or the engine's to refuse.
      if (value.get_int64().get(limit) == simdjson::SUCCESS) {
        short_answer_ = limit <= BodyScanner::kShortAnswer;
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
      if (kind_ == BodyKind::kCompletion) scan_.mergeable = Mergeable::kCompletion;
      if (kind_ == BodyKind::kChat) scan_.mergeable = Mergeable::kChat;
    }
    // Without max_tokens a completion is short, and a chat goes on to the end of the context.
    scan_.short_answer = short_answer_.value_or(kind_ == BodyKind::kCompletion);
    return scan_;
  }

 private:
  template <class Read>
  std::optional<Error> once(bool& seen, std::string_view key, Read read) {
    if (std::exchange(seen, true)) return wrong_type(std::string(key), "given once");
    return read();
  }

  static bool is_prompt(std::string_view key) {
    return key == "messages" || key == "input" || key == "state" || key == "prompt";
  }

  void choices(std::string_view n) {
    if (n == "null") return;
    scan_.choices = number_in<std::uint16_t>(n).value_or(0);
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
      if (scan_.prompts > limits_.prompts) return too_many(limits_.prompts, "prompt");
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
      if (++count > limits_.prompts) break;
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
      if (conversations > limits_.prompts) return too_many(limits_.prompts, "messages");
      scan_.prompts = static_cast<std::uint32_t>(std::max<std::size_t>(conversations, 1));
      scan_.form = PromptForm::kList;
    } else {
      scan_.form = PromptForm::kText;
    }
    if (auto error = array.raw_json().get(scan_.prompt)) return invalid_json(error);
    return std::nullopt;
  }

  const BodyKind kind_;
  const BodyLimits& limits_;
  BodyScan scan_;
  bool saw_model_ = false, saw_stream_ = false, saw_prompt_ = false;
  bool alone_ = false;
  std::optional<bool> short_answer_;
};

simdjson::padded_string_view padded(std::string_view body) {
  return simdjson::padded_string_view(body.data(), body.size(),
                                      body.size() + BodyScanner::kPadding);
}

// What is plain to see before parsing, in plainer words than the parser's.
std::optional<Error> check_start(std::string_view body) {
  const auto first = body.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return Error{Errc::kInvalidJson, "The request has no body."};
  if (std::string_view("[\"-0123456789tfn").find(body[first]) != std::string_view::npos) {
    return Error{Errc::kInvalidRequest, "The request body must be a JSON object."};
  }
  return std::nullopt;
}

}  // namespace

Result<BodyScan> BodyScanner::scan(std::string_view body, BodyKind kind) {
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);  // a mark that engines skip, too
  if (auto error = check_start(body)) return *std::move(error);
  Result<BodyScan> found = look(body, kind);
  if (!found && found.error().code == Errc::kInvalidJson) return located(found.error(), body);
  return found;
}

Result<BodyScan> BodyScanner::look(std::string_view body, BodyKind kind) {
  // The parser looks into no more than is read, but never past the end.
  if (body[body.find_last_not_of(kBlank)] != '}') {
    return invalid_json(simdjson::INCOMPLETE_ARRAY_OR_OBJECT);
  }
  ondemand::document document;
  if (auto error = parser_.iterate(padded(body)).get(document)) return invalid_json(error);
  ondemand::object object;
  if (auto error = document.get_object().get(object)) return invalid_json(error);
  Walk walk(kind, limits_);
  const char* last = nullptr;  // where the last array or object began
  const auto too_deep = [&](const char* end) {
    const std::size_t size = last == nullptr ? 0 : static_cast<std::size_t>(end - last);
    // The body itself is one level.
    return is_too_deep({last, size}, limits_.depth - 1);
  };
  for (auto field : object) {
    std::string_view key;
    if (auto error = field.unescaped_key().get(key)) return invalid_json(error);
    ondemand::value value;
    if (auto error = field.value().get(value)) return invalid_json(error);
    const std::string_view token = value.raw_json_token();
    if (too_deep(token.data())) return nested_too_deep(limits_.depth);
    last = token.starts_with('[') || token.starts_with('{') ? token.data() : nullptr;
    if (auto error = walk.field(key, value)) return *std::move(error);
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return Error{Errc::kInvalidJson, "The request body has bytes after its JSON object."};
  }
  if (too_deep(body.data() + body.size())) return nested_too_deep(limits_.depth);
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
