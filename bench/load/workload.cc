// bench/load/workload.cc - see workload.h.
#include "bench/load/workload.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "backends/questions/line_reader.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

constexpr int kMostComplaints = 5;
constexpr std::size_t kMostOptions = 26;

// What stands at the two places while a body is made; as JSON, and as it is serialised.
constexpr std::string_view kSaltPlace = "\x01S";
constexpr std::string_view kIdPlace = "\x01I";
constexpr std::string_view kSaltWritten = "\\u0001S";
constexpr std::string_view kIdWritten = "\\u0001I";

// The text of a message, or of its first part that is one; null when it has none.
json::string* text_in(json::value& content) {
  if (content.is_string()) return &content.get_string();
  if (!content.is_array()) return nullptr;
  for (json::value& part : content.get_array()) {
    if (!part.is_object()) continue;
    json::value* text = part.get_object().if_contains("text");
    if (text != nullptr && text->is_string()) return &text->get_string();
  }
  return nullptr;
}

struct Texts {
  json::string* first = nullptr;
  json::string* last = nullptr;
};

Texts texts_of(json::object& body) {
  Texts texts;
  for (const char* name : {"prompt", "input"}) {
    json::value* value = body.if_contains(name);
    if (value != nullptr && value->is_string()) return {&value->get_string(), &value->get_string()};
  }
  json::value* messages = body.if_contains("messages");
  if (messages == nullptr || !messages->is_array()) return texts;
  for (json::value& message : messages->get_array()) {
    if (!message.is_object()) continue;
    json::value* content = message.get_object().if_contains("content");
    json::string* text = content == nullptr ? nullptr : text_in(*content);
    if (text == nullptr) continue;
    if (texts.first == nullptr) texts.first = text;
    texts.last = text;
  }
  return texts;
}

void mark_places(const Texts& texts) {
  const std::size_t last_line = texts.last->rfind('\n');
  const std::size_t at = last_line == json::string::npos ? 0 : last_line + 1;
  texts.last->insert(at, json::string_view(kIdPlace.data(), kIdPlace.size()));
  texts.first->insert(0, json::string_view(kSaltPlace.data(), kSaltPlace.size()));
}

void split_at_places(const std::string& body, ReadyQuestion& ready) {
  const std::size_t salt = body.find(kSaltWritten);
  const std::size_t behind_salt = salt + kSaltWritten.size();
  const std::size_t id = body.find(kIdWritten, behind_salt);
  ready.parts = {body.substr(0, salt), body.substr(behind_salt, id - behind_salt),
                 body.substr(id + kIdWritten.size())};
  ready.has_places = true;
}

[[noreturn]] void refuse_file(const std::string& name) {
  throw UnusableWorkload(fmt::format("{} cannot be read: {}", name, std::strerror(errno)));
}

// Takes the lines of a file one after the other, and remembers what is wrong with them.
class WorkloadReader {
 public:
  WorkloadReader(const std::string& name, const Manner& manner)
      : name_(name), manner_(manner), parser_(name, manner.defaults) {}

  void take(std::string_view line, std::int64_t number) {
    auto parsed = parser_.parse(line, number);
    if (const auto* bad = std::get_if<BadLine>(&parsed)) complain(bad->sentence);
    const auto* question = std::get_if<Question>(&parsed);
    if (question == nullptr) return;
    if (const std::string fault = fault_of_label(*question); !fault.empty()) {
      complain(fmt::format("{}:{}: {}", name_, number, fault));
      return;
    }
    questions_.push_back(make_ready(*question, manner_));
  }
  void take_too_long(std::int64_t number) { complain(parser_.too_long(number).sentence); }

  std::vector<ReadyQuestion> finish() {
    if (const auto bad = parser_.finish()) complain(bad->sentence);
    if (bad_lines_ > kMostComplaints) {
      complaints_ += fmt::format("\n… and {} more", bad_lines_ - kMostComplaints);
    }
    if (bad_lines_ > 0) {
      throw UnusableWorkload(complaints_ + "\nNothing was asked: mend or remove " +
                             (bad_lines_ == 1 ? "this line" : "these lines"));
    }
    if (questions_.empty()) throw UnusableWorkload(name_ + " holds no question");
    return std::move(questions_);
  }

 private:
  void complain(const std::string& sentence) {
    if (++bad_lines_ <= kMostComplaints)
      complaints_ += (complaints_.empty() ? "" : "\n") + sentence;
  }

  const std::string name_;
  const Manner& manner_;
  QuestionParser parser_;
  std::vector<ReadyQuestion> questions_;
  std::string complaints_;
  int bad_lines_ = 0;
};

}  // namespace

std::array<std::string_view, 5> ReadyQuestion::body(std::string_view salt,
                                                    std::string_view id) const {
  if (!has_places) return {parts[0]};
  return {parts[0], salt, parts[1], id, parts[2]};
}

ReadyQuestion make_ready(const Question& question, const Manner& manner) {
  ReadyQuestion ready;
  ready.path = question.path;
  ready.label = question.label;
  ready.options = question.options;
  ready.chat = question.path == "/v1/chat/completions";
  json::value parsed = json::parse(question.body);  // it is JSON: the parser of questions made it
  json::object& body = parsed.get_object();
  ready.lacks_model = question.lacks_model;
  const bool generates = ready.chat || question.path == "/v1/completions";
  if (manner.stream && generates) {
    ready.streams = true;
    body["stream"] = true;
    body["stream_options"] = json::object{{"include_usage", true}};
  }
  if (manner.echo && question.path == "/v1/completions" && texts_of(body).first != nullptr) {
    ready.echoes = true;
    body["echo"] = true;
  }
  const Texts texts = texts_of(body);  // a member more would move them
  if (texts.first != nullptr) mark_places(texts);
  const std::string text = json::serialize(body);
  if (texts.first == nullptr) {
    ready.parts[0] = text;
  } else {
    split_at_places(text, ready);
  }
  return ready;
}

std::vector<ReadyQuestion> load_workload(const std::string& file, const Manner& manner) {
  const std::string name = file == "-" ? "standard input" : printable(file);
  const Descriptor opened(file == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                      : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.get() < 0) refuse_file(name);
  LineReader lines(opened.get(), name);
  WorkloadReader reader(name, manner);
  std::string line;
  for (;;) {
    switch (lines.next(line)) {
      case LineReader::Got::kLine:
        reader.take(line, lines.number());
        break;
      case LineReader::Got::kTooLong:
        reader.take_too_long(lines.number());
        break;
      case LineReader::Got::kEnd:
        return reader.finish();
    }
  }
}

void give_model(std::string_view model, std::vector<ReadyQuestion>& questions) {
  const std::string member =
      "\"model\":" + json::serialize(json::string_view(model.data(), model.size())) + ",";
  for (ReadyQuestion& question : questions) {
    if (!question.lacks_model) continue;
    question.parts[0].insert(1, member);
    question.lacks_model = false;
  }
}

std::string as_first_line(std::string_view text) {
  if (text.empty()) return "";
  const std::string line = std::string(text) + "\n";
  const std::string quoted = json::serialize(json::string_view(line.data(), line.size()));
  return quoted.substr(1, quoted.size() - 2);
}

std::string fault_of_label(const Question& question) {
  if (question.label.empty()) return "";
  const std::size_t options = std::min(question.options, kMostOptions);
  const char last = static_cast<char>('A' + static_cast<char>(options) - 1);
  if (question.label.size() == 1 && question.label[0] >= 'A' && question.label[0] <= last)
    return "";
  return fmt::format("\"label\" is '{}', which is none of the options A to {}",
                     printable(question.label), last);
}

char chosen_letter(std::string_view answer, std::size_t options) {
  const auto is_word = [&](std::size_t i) {
    return i < answer.size() && std::isalnum(static_cast<unsigned char>(answer[i])) != 0;
  };
  for (std::size_t i = 0; i < answer.size(); ++i) {
    const char c = answer[i];
    if (c < 'A' || c >= static_cast<char>('A' + static_cast<char>(options))) continue;
    if ((i == 0 || !is_word(i - 1)) && !is_word(i + 1)) return c;
  }
  return '\0';
}

}  // namespace batchproxy::bench
