// proxy/decisions/choice_scores.cc - see choice_scores.h.
#include "proxy/decisions/choice_scores.h"

#include <algorithm>
#include <optional>

#include <simdjson.h>

namespace batchproxy {

namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kLongestMessage = 300;  // bytes that are quoted of an engine's

std::int64_t code_points(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

std::uint64_t number_in(const simdjson::simdjson_result<dom::element>& value) {
  std::uint64_t number = 0;
  return value.get(number) ? 0 : number;
}

// What both kinds of answers have. False: it is no answer.
bool read_common(const dom::element& whole, ScoredChoices& scored) {
  std::string_view model;
  if (!whole["model"].get(model)) scored.model = model;
  const auto usage = whole["usage"];
  scored.usage = {number_in(usage["prompt_tokens"]), number_in(usage["completion_tokens"]),
                  number_in(usage["prompt_tokens_details"]["cached_tokens"])};
  return whole["choices"].is_array();
}

// --- the next token -----------------------------------------------------------------------------

// {token: log-probability}, as in OpenAI's completions.
std::optional<double> find_in_object(const dom::object& tops, std::string_view text) {
  double value = 0;
  return tops[text].get(value) ? std::nullopt : std::optional(value);
}

// [{"token": …, "logprob": …}], as in chats, and in llama.cpp's completions.
std::optional<double> find_in_list(const dom::array& tops, std::string_view text) {
  for (const dom::element top : tops) {
    std::string_view token;
    double value = 0;
    if (top["token"].get(token) || token != text) continue;
    return top["logprob"].get(value) ? std::nullopt : std::optional(value);
  }
  return std::nullopt;
}

// The alternatives for the first token, in one of these forms.
std::optional<dom::element> first_tops(const dom::element& whole) {
  const auto logprobs = whole["choices"].at(0)["logprobs"];
  dom::element tops;
  if (!logprobs["top_logprobs"].at(0).get(tops)) return tops;
  if (!logprobs["content"].at(0)["top_logprobs"].get(tops)) return tops;
  return std::nullopt;
}

// --- continuations ------------------------------------------------------------------------------

// The four lists of an echoed prompt.
struct Echo {
  std::vector<std::string_view> tokens{};
  std::vector<std::optional<double>> values{};  // nothing for the first
  std::vector<std::int64_t> offsets{};          // code points

  bool fits() const {
    return !tokens.empty() && tokens.size() == values.size() && tokens.size() == offsets.size();
  }
  std::int64_t end_of(std::size_t token) const {
    return offsets[token] + code_points(tokens[token]);
  }
};

Echo echo_of(const dom::element& choice) {
  Echo echo;
  dom::array tokens;
  dom::array values;
  dom::array offsets;
  const auto logprobs = choice["logprobs"];
  if (logprobs["tokens"].get(tokens) || logprobs["token_logprobs"].get(values) ||
      logprobs["text_offset"].get(offsets)) {
    return echo;
  }
  for (const dom::element token : tokens) {
    std::string_view text;
    if (token.get(text)) return {};
    echo.tokens.push_back(text);
  }
  for (const dom::element entry : values) {
    double value = 0;
    echo.values.push_back(entry.get(value) ? std::nullopt : std::optional(value));
  }
  for (const dom::element offset : offsets) {
    std::int64_t place = 0;
    if (offset.get(place)) return {};
    echo.offsets.push_back(place);
  }
  return echo;
}

// How many tokens behind the prompt each answer has: the one that was asked for, unless the engine
// says that it has made none.
std::size_t generated_in(const dom::element& whole) {
  std::uint64_t tokens = 1;
  return !whole["usage"]["completion_tokens"].get(tokens) && tokens == 0 ? 0 : 1;
}

std::optional<ChoiceScore> score_of(const Echo& echo, std::size_t generated,
                                    std::string_view text) {
  if (!echo.fits() || echo.tokens.size() <= generated) return std::nullopt;
  const std::size_t read = echo.tokens.size() - generated;
  const std::int64_t end = generated > 0 ? echo.offsets[read] : echo.end_of(read - 1);
  const std::int64_t begin = end - code_points(text);
  ChoiceScore score;
  // From the end on: a token of no width at the choice's beginning is its first byte or two.
  for (std::size_t i = read; i-- > 0;) {
    const std::int64_t next = i + 1 < read ? echo.offsets[i + 1] : end;
    if (next <= begin && echo.offsets[i] < begin) break;
    if (!echo.values[i]) return std::nullopt;  // nothing stands before it
    score.logprob += *echo.values[i];
    ++score.tokens;
  }
  return score.tokens == 0 ? std::nullopt : std::optional(score);
}

// The place of each entry of `choices` by its index; empty unless there is exactly one for each.
std::vector<dom::element> by_index(const dom::element& whole, std::size_t count) {
  dom::array choices;
  if (whole["choices"].get(choices) || choices.size() != count) return {};
  std::vector<dom::element> sorted(count);
  std::vector<bool> seen(count);
  for (const dom::element choice : choices) {
    std::uint64_t index = 0;
    if (choice["index"].get(index) || index >= count || seen[index]) return {};
    seen[index] = true;
    sorted[index] = choice;
  }
  return sorted;
}

}  // namespace

DecisionUsage& DecisionUsage::operator+=(const DecisionUsage& other) {
  prompt_tokens += other.prompt_tokens;
  completion_tokens += other.completion_tokens;
  cached_tokens += other.cached_tokens;
  return *this;
}

ScoredChoices read_next_token(std::string_view body, const std::vector<DecisionChoice>& choices) {
  ScoredChoices scored;
  dom::parser parser;
  dom::element whole;
  if (parser.parse(body.data(), body.size(), true).get(whole)) return scored;
  if (!read_common(whole, scored)) return scored;
  const std::optional<dom::element> tops = first_tops(whole);
  dom::object object;
  dom::array list;
  const bool is_object = tops && !tops->get(object);
  if (!is_object && (!tops || tops->get(list))) return scored;
  scored.has_logprobs = true;
  for (const DecisionChoice& choice : choices) {
    const auto found =
        is_object ? find_in_object(object, choice.text) : find_in_list(list, choice.text);
    if (!found) {
      scored.scores.clear();
      break;
    }
    scored.scores.push_back({*found, 1});
  }
  return scored;
}

ScoredChoices read_continuations(std::string_view body,
                                 const std::vector<DecisionChoice>& choices) {
  ScoredChoices scored;
  dom::parser parser;
  dom::element whole;
  if (parser.parse(body.data(), body.size(), true).get(whole)) return scored;
  if (!read_common(whole, scored)) return scored;
  const std::vector<dom::element> answers = by_index(whole, choices.size());
  if (answers.empty()) return scored;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const Echo echo = echo_of(answers[i]);
    scored.has_logprobs = scored.has_logprobs || echo.fits();
    const auto score = score_of(echo, generated_in(whole), choices[i].text);
    if (!score) {
      scored.scores.clear();
      break;
    }
    scored.scores.push_back(*score);
  }
  return scored;
}

std::string message_in(std::string_view body) {
  dom::parser parser;
  dom::element whole;
  if (parser.parse(body.data(), body.size(), true).get(whole)) return {};
  std::string_view text;
  if (whole["error"]["message"].get(text) && whole["error"].get(text) &&
      whole["message"].get(text) && whole["detail"].get(text)) {
    return {};
  }
  if (text.size() <= kLongestMessage) return std::string(text);
  std::size_t end = kLongestMessage;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

}  // namespace batchproxy
