// proxy/decisions/decision_request.cc - see decision_request.h.
#include "proxy/decisions/decision_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <simdjson.h>

namespace batchproxy {

namespace {

namespace dom = simdjson::dom;

// OpenAI's limits.
constexpr std::size_t kMostQuestions = 400;
constexpr std::size_t kFewestChoices = 2;
constexpr std::size_t kMostChoices = 255;

// Blanks at the input's end that are moved to each choice: more would be copied as often as that.
constexpr std::size_t kMostBlanks = 256;

constexpr std::string_view kBlank = " \t\r\n\v\f";
constexpr std::string_view kOnlyText =
    "batchproxy computes decisions on text alone. An engine with a /v1/decisions of its own may "
    "take more.";

constexpr std::array kMethods = {DecisionMethod::kEngine, DecisionMethod::kNextToken,
                                 DecisionMethod::kContinuations};

Error invalid(std::string param, std::string message) {
  return {Errc::kInvalidRequest, std::move(message), std::move(param)};
}

Error must_be(const std::string& param, std::string_view what) {
  return invalid(param, fmt::format("`{}` must be {}.", param, what));
}

std::string quoted(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text));
}

// A string field; empty if there is none.
Result<std::string> optional_text(const dom::element& of, std::string_view key,
                                  const std::string& place) {
  dom::element found;
  std::string_view text;
  if (of[key].get(found) || found.is_null()) return std::string();
  if (found.get(text)) return must_be(place + "." + std::string(key), "a string");
  return std::string(text);
}

// --- text in OpenAI's forms ---------------------------------------------------------------------

Result<std::string> text_of_part(const dom::element& part, const std::string& place) {
  std::string_view type;
  if (part["type"].get(type)) return must_be(place, "a string, or a list of parts with a `type`");
  if (type == "input_text" || type == "output_text") return optional_text(part, "text", place);
  if (type == "refusal") return optional_text(part, "refusal", place);
  dom::element data;
  if (type == "input_json" && !part["data"].get(data)) return simdjson::minify(data);
  return invalid(place, fmt::format("`{}` has a part of type `{}`. {}", place, type, kOnlyText));
}

// Of a string, or of parts, each on lines of its own.
Result<std::string> text_of(const dom::element& value, const std::string& place) {
  std::string_view text;
  if (!value.get(text)) return std::string(text);
  dom::array parts;
  if (value.get(parts)) return must_be(place, "a string, or a list of parts");
  std::string all;
  for (const dom::element part : parts) {
    const Result<std::string> one = text_of_part(part, place);
    if (!one) return one;
    if (!all.empty()) all += '\n';
    all += *one;
  }
  return all;
}

// `alone`: of a conversation of one message, whose role says nothing.
Result<std::string> text_of_message(const dom::element& message, bool alone,
                                    const std::string& place) {
  std::string_view type = "message";
  std::string_view role;
  dom::element content;
  const bool typed = !message["type"].get(type);
  if (typed && type != "message") {
    return invalid(place, fmt::format("`{}` is a `{}`. {}", place, type, kOnlyText));
  }
  if (message["role"].get(role)) return must_be(place + ".role", "a string");
  if (message["content"].get(content)) return must_be(place + ".content", "a string, or parts");
  Result<std::string> text = text_of(content, place + ".content");
  if (!text || alone) return text;
  return fmt::format("{}: {}", role, *text);
}

Result<std::string> text_of_input(const dom::element& input) {
  std::string_view text;
  if (!input.get(text)) return std::string(text);
  dom::array messages;
  if (input.get(messages)) return must_be("input", "a string, or a list of messages");
  std::string all;
  std::size_t index = 0;
  for (const dom::element message : messages) {
    const std::string place = fmt::format("input[{}]", index++);
    const Result<std::string> one = text_of_message(message, messages.size() == 1, place);
    if (!one) return one;
    if (!all.empty()) all += "\n\n";
    all += *one;
  }
  return all;
}

// --- questions ----------------------------------------------------------------------------------

// A choice, or a level, as it was asked for.
struct Option {
  std::string text;
  std::string value;  // JSON
  std::string label{};
  std::string description{};
};
using Options = std::vector<Option>;

Result<Option> choice_of(const dom::element& choice, const std::string& place) {
  Result<std::string> description = optional_text(choice, "description", place);
  if (!description) return description.error();
  dom::element value;
  std::string_view text;
  bool truth = false;
  if (choice["value"].get(value)) return must_be(place + ".value", "a string, true or false");
  if (!value.get(text)) return Option{std::string(text), quoted(text), {}, *description};
  if (value.get(truth)) return must_be(place + ".value", "a string, true or false");
  const std::string word = truth ? "true" : "false";
  return Option{word, word, {}, *description};
}

// Levels count from 0.
Result<Option> level_of(const dom::element& level, std::size_t number, const std::string& place) {
  const Result<std::string> description = optional_text(level, "description", place);
  if (!description) return description.error();
  std::string_view label;
  if (level["label"].get(label)) return must_be(place + ".label", "a string");
  return Option{std::string(label), std::to_string(number), quoted(label), *description};
}

Result<Options> options_of(const dom::element& question, DecisionQuestion::Type type,
                           const std::string& place) {
  if (type == DecisionQuestion::Type::kPredicate) {
    return Options{{"true", "true"}, {"false", "false"}};
  }
  const bool levels = type == DecisionQuestion::Type::kScore;
  const std::string list = place + (levels ? ".levels" : ".choices");
  dom::array found;
  const bool missing = question[levels ? "levels" : "choices"].get(found) != simdjson::SUCCESS;
  if (missing || found.size() < kFewestChoices || found.size() > kMostChoices) {
    return must_be(list, fmt::format("a list of {} to {}", kFewestChoices, kMostChoices));
  }
  Options options;
  for (const dom::element one : found) {
    const std::string at = fmt::format("{}[{}]", list, options.size());
    Result<Option> option = levels ? level_of(one, options.size(), at) : choice_of(one, at);
    if (!option) return option.error();
    if (option->text.empty()) return invalid(at, fmt::format("`{}` is empty.", at));
    options.push_back(*std::move(option));
  }
  return options;
}

// What the model reads of an option, on a line of its own; empty if it reads nothing.
std::string line_of(const Option& option, DecisionQuestion::Type type) {
  const std::string& said = option.description;
  if (type == DecisionQuestion::Type::kScore) {
    return fmt::format("\n{}: {}{}{}", option.value, option.text, said.empty() ? "" : " - ", said);
  }
  return said.empty() ? "" : fmt::format("\n{}: {}", option.text, said);
}

// Asked in words: the options are answers to them.
void lay_out(const std::string& instructions, const Options& options, DecisionQuestion& question) {
  using Type = DecisionQuestion::Type;
  question.context = "\n\n" + instructions;
  for (const Option& option : options) question.context += line_of(option, question.type);
  if (question.type == Type::kPredicate) question.context += "\nTrue or false?";
  if (question.type == Type::kScore) question.context += "\nAnswer with the number of a level.";
  question.context += "\nAnswer:";
  for (const Option& option : options) {
    const std::string& word = question.type == Type::kScore ? option.value : option.text;
    question.choices.push_back({" " + word, option.value, option.label});
  }
}

std::optional<Error> same_twice(const DecisionQuestion& question, const std::string& place) {
  std::vector<std::string_view> texts;
  for (const DecisionChoice& choice : question.choices) texts.push_back(choice.text);
  std::ranges::sort(texts);
  const auto twice = std::ranges::adjacent_find(texts);
  if (twice == texts.end()) return std::nullopt;
  return invalid(place, fmt::format("`{}` has the text {} twice: the model could not tell one from "
                                    "the other.",
                                    place, quoted(*twice)));
}

std::optional<DecisionQuestion::Type> type_named(std::string_view word) {
  if (word == "predicate") return DecisionQuestion::Type::kPredicate;
  if (word == "choice") return DecisionQuestion::Type::kChoice;
  if (word == "score") return DecisionQuestion::Type::kScore;
  return std::nullopt;
}

// `blanks`: those at the input's end.
Result<DecisionQuestion> question_of(const dom::element& asked, std::string_view blanks,
                                     const std::string& place) {
  std::string_view word;
  const bool typed = !asked["type"].get(word);
  const auto type = type_named(word);
  if (!typed || !type) return must_be(place + ".type", "`predicate`, `choice` or `score`");
  DecisionQuestion question;
  question.type = *type;
  std::string_view name;
  if (!asked["name"].get(name)) question.name = quoted(name);
  std::string instructions;
  if (dom::element found; !asked["instructions"].get(found) && !found.is_null()) {
    Result<std::string> text = text_of(found, place + ".instructions");
    if (!text) return text.error();
    instructions = *std::move(text);
  }
  const Result<Options> options = options_of(asked, *type, place);
  if (!options) return options.error();
  if (!instructions.empty() ||
      std::ranges::any_of(*options, [](const Option& one) { return !one.description.empty(); })) {
    lay_out(instructions, *options, question);
    question.context.insert(0, blanks);
  } else {
    for (const Option& option : *options) {
      question.choices.push_back({std::string(blanks) + option.text, option.value, option.label});
    }
  }
  if (auto error = same_twice(question, place)) return *std::move(error);
  return question;
}

std::optional<DecisionMethod> method_named(std::string_view word) {
  const auto found =
      std::ranges::find(kMethods, word, [](DecisionMethod m) { return to_string(m); });
  return found == kMethods.end() ? std::nullopt : std::optional(*found);
}

std::optional<Error> read_method(const dom::element& body, DecisionRequest& request) {
  dom::element found;
  if (body["method"].get(found) || found.is_null()) return std::nullopt;
  std::string_view word;
  const bool is_word = !found.get(word);
  const auto method = method_named(word);
  if (!is_word || !method) {
    return must_be("method", "`engine`, `next_token` or `continuations`, if it is there");
  }
  request.method = *method;
  return std::nullopt;
}

}  // namespace

std::string_view to_string(DecisionMethod method) {
  switch (method) {
    case DecisionMethod::kAny:
      break;
    case DecisionMethod::kEngine:
      return "engine";
    case DecisionMethod::kNextToken:
      return "next_token";
    case DecisionMethod::kContinuations:
      return "continuations";
  }
  return {};
}

Result<DecisionRequest> parse_decision(std::string_view body) {
  dom::parser parser;
  dom::element whole;
  if (parser.parse(body.data(), body.size(), /*realloc_if_needed=*/true).get(whole) ||
      !whole.is_object()) {
    return Error{Errc::kInvalidJson, "The request body is not a JSON object."};
  }
  DecisionRequest request;
  Result<std::string> model = optional_text(whole, "model", "body");
  if (!model) return must_be("model", "a string");
  request.model = *std::move(model);
  if (auto error = read_method(whole, request)) return *std::move(error);
  dom::element input;
  if (whole["input"].get(input)) return must_be("input", "a string, or a list of messages");
  Result<std::string> text = text_of_input(input);
  if (!text) return text.error();
  const std::size_t last = text->find_last_not_of(kBlank);
  if (last == std::string::npos) return invalid("input", "`input` is empty.");
  const std::size_t end = text->size() - std::min(text->size() - last - 1, kMostBlanks);
  const std::string blanks = text->substr(end);
  request.input = text->substr(0, end);
  dom::array questions;
  if (whole["questions"].get(questions) || questions.size() == 0 ||
      questions.size() > kMostQuestions) {
    return must_be("questions", fmt::format("a list of 1 to {}", kMostQuestions));
  }
  for (const dom::element asked : questions) {
    const std::string place = fmt::format("questions[{}]", request.questions.size());
    Result<DecisionQuestion> question = question_of(asked, blanks, place);
    if (!question) return question.error();
    request.questions.push_back(*std::move(question));
  }
  return request;
}

DecisionMethod method_asked_for(std::string_view body) {
  dom::parser parser;
  std::string_view word;
  if (parser.parse(body.data(), body.size(), /*realloc_if_needed=*/true)["method"].get(word)) {
    return DecisionMethod::kAny;
  }
  return method_named(word).value_or(DecisionMethod::kAny);
}

}  // namespace batchproxy
