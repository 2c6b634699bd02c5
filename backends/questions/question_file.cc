// backends/questions/question_file.cc - see question_file.h.
#include "backends/questions/question_file.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kBeginning = 4096;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kWhatLinesMayBe =
    "a line is {\"custom_id\", \"method\", \"url\", \"body\"}, or has \"prompt\", \"messages\" or "
    "\"input\", or \"question\" and \"options\"";

std::string json_text(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

std::optional<std::string_view> text_of(dom::object object, std::string_view name) {
  std::string_view text;
  if (object[name].get(text)) return std::nullopt;
  return text;
}

bool has(dom::object object, std::string_view name) {
  return object[name].error() == simdjson::SUCCESS;
}

// A key as a text or a number; nothing when there is none, "" when it is neither.
std::optional<std::string> key_of(dom::object object) {
  for (const std::string_view name : {"custom_id", "id", "key"}) {
    dom::element value;
    if (object[name].get(value)) continue;
    if (value.is_string() || value.is_number()) {
      return value.is_string() ? std::string(value.get_string().value_unsafe())
                               : std::string(simdjson::minify(value));
    }
    return "";
  }
  return std::nullopt;
}

bool asks_for_stream(dom::object body) {
  bool stream = false;
  return !body["stream"].get(stream) && stream;
}

std::optional<QuestionFormat> format_of(dom::object object) {
  if (has(object, "body")) return QuestionFormat::kBatchLines;
  if (has(object, "prompt") || has(object, "messages") || has(object, "input")) {
    return QuestionFormat::kPlainLines;
  }
  if (has(object, "question") && has(object, "options")) return QuestionFormat::kMultipleChoice;
  return std::nullopt;
}

// The members that a body lacks, each with a comma behind it.
std::string missing_members(const QuestionDefaults& defaults, bool model, bool temperature,
                            bool max_tokens) {
  std::string members;
  if (model && !defaults.model.empty()) members += "\"model\":" + json_text(defaults.model) + ",";
  if (temperature && defaults.temperature) {
    members += fmt::format("\"temperature\":{},", *defaults.temperature);
  }
  if (max_tokens && defaults.max_tokens) {
    members += fmt::format("\"max_tokens\":{},", *defaults.max_tokens);
  }
  return members;
}

// What stands for each option behind "Answer: ": its letter, if all begin with theirs as in
// "(A) text", "A) text" or "A. text", else the option.
std::vector<std::string> words_for(const std::vector<std::string_view>& options) {
  std::vector<std::string> letters;
  for (std::string_view option : options) {
    const char letter = static_cast<char>('A' + letters.size());
    if (option.starts_with('(')) option.remove_prefix(1);
    const bool named = letter <= 'Z' && option.size() > 1 && option[0] == letter &&
                       (option[1] == ')' || option[1] == '.');
    if (!named) return {options.begin(), options.end()};
    letters.emplace_back(1, letter);
  }
  return letters;
}

std::string as_message(std::string_view content) {
  return fmt::format("\"messages\":[{{\"role\":\"user\",\"content\":{}}}]", content);
}

}  // namespace

std::string_view words_of(QuestionFormat format) {
  switch (format) {
    case QuestionFormat::kBatchLines:
      return "OpenAI batch lines";
    case QuestionFormat::kPlainLines:
      return "JSON lines with a prompt or messages each";
    case QuestionFormat::kMultipleChoice:
      return "multiple-choice questions";
    case QuestionFormat::kCsv:
      return "CSV";
  }
  return "";
}

std::string_view Question::beginning() const {
  for (const std::string_view name : {"\"messages\"", "\"prompt\"", "\"input\""}) {
    const std::size_t at = body.find(name);
    if (at != std::string::npos) return std::string_view(body).substr(at, kBeginning);
  }
  return std::string_view(body).substr(0, kBeginning);
}

std::string with_model(const Question& question, std::string_view model) {
  return "{\"model\":" + json_text(model) + "," + question.body.substr(1);
}

QuestionParser::QuestionParser(std::string file, QuestionDefaults defaults)
    : file_(std::move(file)), defaults_(std::move(defaults)) {
  if (!defaults_.column.empty()) format_ = QuestionFormat::kCsv;
}

BadLine QuestionParser::bad(std::int64_t number, std::string_view why) const {
  return {fmt::format("{}:{}: {}", file_, number, why)};
}

BadLine QuestionParser::too_long(std::int64_t number) const {
  return bad(number, "the line has more than 32 MiB, and no engine takes such a question");
}

QuestionParser::Parsed QuestionParser::parse(std::string_view line, std::int64_t number) {
  if (number == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  const bool blank = line.find_first_not_of(" \t\r") == std::string_view::npos;
  if (blank && record_.empty()) return NoQuestion{};
  return format_ == QuestionFormat::kCsv ? parse_csv(line, number) : parse_json(line, number);
}

std::optional<BadLine> QuestionParser::finish() const {
  if (record_.empty()) return std::nullopt;
  return bad(record_begin_, "a quoted field begins here and never ends");
}

QuestionParser::Parsed QuestionParser::parse_json(std::string_view line, std::int64_t number) {
  dom::element element;
  if (const auto error = parser_.parse(line.data(), line.size()).get(element)) {
    if (!format_ && line.find_first_not_of(" \t") != line.find('{')) {
      return bad(number, fmt::format("not JSON: {}. A CSV file needs --column NAME, that of the "
                                     "prompts",
                                     kWhatLinesMayBe));
    }
    return bad(number, fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  dom::object object;
  if (element.get(object)) return bad(number, fmt::format("no JSON object: {}", kWhatLinesMayBe));
  const auto format = format_of(object);
  if (!format) return bad(number, fmt::format("no question: {}", kWhatLinesMayBe));
  if (format_ && format != format_) {
    return bad(number, fmt::format("the lines before are {}, this one is not", words_of(*format_)));
  }
  format_ = format;
  if (defaults_.choices && format != QuestionFormat::kMultipleChoice) {
    return bad(number, fmt::format("--choices is for multiple-choice questions; these are {}",
                                   words_of(*format)));
  }
  switch (*format) {
    case QuestionFormat::kBatchLines:
      return batch_line(object, number);
    case QuestionFormat::kPlainLines:
      return plain_line(object, number);
    case QuestionFormat::kMultipleChoice:
      return choice_line(object, number);
    case QuestionFormat::kCsv:
      break;
  }
  return NoQuestion{};
}

QuestionParser::Parsed QuestionParser::batch_line(dom::object object, std::int64_t number) {
  const auto key = text_of(object, "custom_id");
  if (!key || key->empty()) return bad(number, "\"custom_id\" must be a text that is not empty");
  const auto path = text_of(object, "url");
  if (!path || !path->starts_with('/') ||
      std::ranges::any_of(*path, [](char c) { return c <= ' ' || c == 0x7f; })) {
    return bad(number, "\"url\" must be a path such as \"/v1/chat/completions\"");
  }
  if (const auto method = text_of(object, "method"); has(object, "method") && method != "POST") {
    return bad(number, "\"method\" must be \"POST\"");
  }
  dom::object body;
  if (object["body"].get(body)) return bad(number, "\"body\" must be an object");
  if (asks_for_stream(body)) {
    return bad(number, "\"stream\": true is nothing for a file of answers: leave it out");
  }
  Question question{std::string(*key), std::string(*path), simdjson::minify(body), false};
  if (question.body == "{}") return bad(number, "\"body\" is empty");
  if (has(body, "model")) return question;
  question.lacks_model = defaults_.model.empty();
  if (!question.lacks_model) question.body = with_model(question, defaults_.model);
  return question;
}

QuestionParser::Parsed QuestionParser::plain_line(dom::object object, std::int64_t number) {
  const auto key = key_of(object);
  if (key && key->empty()) return bad(number, "the id must be a text or a number");
  if (asks_for_stream(object)) {
    return bad(number, "\"stream\": true is nothing for a file of answers: leave it out");
  }
  const bool has_messages = has(object, "messages");
  const bool has_input = !has_messages && !has(object, "prompt");
  const bool model = !has(object, "model");
  const bool limited = has(object, "max_tokens") || has(object, "max_completion_tokens");
  std::string body =
      "{" + missing_members(defaults_, model, !has_input && !has(object, "temperature"),
                            !has_input && !limited);
  for (const auto& [name, value] : object) {
    if (name == "custom_id" || name == "id" || name == "key") continue;
    const std::string raw = simdjson::minify(value);
    const bool turn = name == "prompt" && defaults_.chat && !has_messages;
    body += turn ? as_message(raw) : json_text(name) + ":" + raw;
    body += ',';
  }
  body.back() = '}';
  const bool chat = has_messages || (defaults_.chat && !has_input);
  const char* const path =
      chat ? "/v1/chat/completions" : (has_input ? "/v1/embeddings" : "/v1/completions");
  return Question{key.value_or(fmt::format("line-{}", number)), path, std::move(body),
                  model && defaults_.model.empty()};
}

Question QuestionParser::ask(const QuestionDefaults& defaults, std::string_view prompt,
                             std::string key) {
  std::string body = "{" + missing_members(defaults, true, true, true);
  body += defaults.chat ? as_message(json_text(prompt)) : "\"prompt\":" + json_text(prompt);
  return Question{std::move(key), defaults.chat ? "/v1/chat/completions" : "/v1/completions",
                  body + "}", defaults.model.empty()};
}

// The blank at the prompt's end makes the choices begin with it, as tokens do.
Question QuestionParser::decide(const QuestionDefaults& defaults, std::string_view prompt,
                                const std::vector<std::string_view>& options, std::string key) {
  std::string body = "{" + missing_members(defaults, true, false, false);
  body += "\"input\":" + json_text(fmt::format("{} ", prompt));
  std::string choices;
  for (const std::string& word : words_for(options)) {
    choices += fmt::format("{}{{\"value\":{}}}", choices.empty() ? "" : ",", json_text(word));
  }
  body += fmt::format(R"(,"questions":[{{"type":"choice","instructions":"","choices":[{}]}}]}})",
                      choices);
  return Question{std::move(key), "/v1/decisions", std::move(body), defaults.model.empty()};
}

QuestionParser::Parsed QuestionParser::choice_line(dom::object object, std::int64_t number) {
  const auto key = key_of(object);
  if (key && key->empty()) return bad(number, "the id must be a text or a number");
  const auto question = text_of(object, "question");
  dom::array options;
  if (!question || object["options"].get(options)) {
    return bad(number, "\"question\" must be a text, \"options\" a list of texts");
  }
  if (options.size() < 2) return bad(number, "\"options\" must be two texts or more");
  QuestionDefaults with = defaults_;
  std::int64_t tokens = 0;
  double temperature = 0;
  if (const auto model = text_of(object, "model")) with.model = *model;
  if (!object["max_tokens"].get(tokens)) with.max_tokens = static_cast<int>(tokens);
  if (!object["temperature"].get(temperature)) with.temperature = temperature;
  std::string prompt;
  std::vector<std::string_view> texts;
  const auto passage = text_of(object, "passage");
  if (passage && !passage->empty()) prompt += fmt::format("Context:\n{}\n\n", *passage);
  prompt += fmt::format("Question:\n{}\n", *question);
  for (const dom::element option : options) {
    std::string_view text;
    if (option.get(text)) return bad(number, "\"options\" must be a list of texts");
    prompt.append(text).append("\n");
    texts.push_back(text);
  }
  prompt += "Answer:";
  std::string name = key.value_or(fmt::format("line-{}", number));
  Question asked = with.choices ? decide(with, prompt, texts, std::move(name))
                                : ask(with, prompt, std::move(name));
  asked.label = text_of(object, "label").value_or("");
  asked.options = texts.size();
  return asked;
}

std::optional<std::vector<std::string>> csv_fields(std::string_view record) {
  std::vector<std::string> fields(1);
  bool open = false;
  for (std::size_t i = 0; i < record.size(); ++i) {
    const char c = record[i];
    if (open && c == '"' && i + 1 < record.size() && record[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"' && (open || fields.back().empty())) {
      open = !open;
    } else if (c == ',' && !open) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (open) return std::nullopt;
  return fields;
}

QuestionParser::Parsed QuestionParser::csv_header(std::int64_t number) {
  const auto names = *csv_fields(record_);
  record_.clear();
  const auto found = std::ranges::find(names, defaults_.column);
  if (found == names.end()) {
    return bad(number, fmt::format("no column '{}'; there are: {}", printable(defaults_.column),
                                   printable(fmt::format("{}", fmt::join(names, ", ")))));
  }
  columns_ = names.size();
  prompt_column_ = static_cast<std::size_t>(found - names.begin());
  for (const std::string_view name : {"custom_id", "id", "key"}) {
    const auto key = std::ranges::find(names, name);
    if (key == names.end() || key == found) continue;
    key_column_ = static_cast<std::size_t>(key - names.begin());
    break;
  }
  return NoQuestion{};
}

QuestionParser::Parsed QuestionParser::parse_csv(std::string_view line, std::int64_t number) {
  if (record_.empty()) {
    record_begin_ = number;
  } else {
    record_ += '\n';
  }
  record_ += line;
  if (std::ranges::count(line, '"') % 2 != 0) open_ = !open_;
  if (open_) {
    // What an unmatched quote makes of a large file must end, too.
    if (record_.size() > (std::size_t{32} << 20)) {
      record_.clear();
      open_ = false;
      return bad(record_begin_, "a quoted field begins here and does not end within 32 MiB");
    }
    return NoQuestion{};
  }
  const auto fields = csv_fields(record_);
  if (!fields) return NoQuestion{};
  if (!simdjson::validate_utf8(record_.data(), record_.size())) {
    record_.clear();
    return bad(record_begin_, "not UTF-8: convert the file, such as by iconv -f latin1 -t utf8");
  }
  if (defaults_.choices) return bad(number, "--choices is for multiple-choice questions, not CSV");
  if (columns_ == 0) return csv_header(number);
  record_.clear();
  if (fields->size() != columns_) {
    return bad(record_begin_,
               fmt::format("{} fields, the header has {}", fields->size(), columns_));
  }
  std::string key = key_column_ ? (*fields)[*key_column_] : fmt::format("line-{}", record_begin_);
  if (key.empty()) return bad(record_begin_, "the id is empty");
  return ask(defaults_, (*fields)[prompt_column_], std::move(key));
}

}  // namespace batchproxy
