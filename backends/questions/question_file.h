// backends/questions/question_file.h - QuestionParser: the lines of a question file as requests.
//
// The first line tells the format; all others must have the same. Sans-io: lines in, questions or
// sentences out.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <simdjson.h>

namespace batchproxy {

enum class QuestionFormat {
  kBatchLines,      // {"custom_id", "method", "url", "body"}: OpenAI's batch files, vllm run-batch
  kPlainLines,      // {"prompt" | "messages" | "input", …}: a body, with defaults for what it lacks
  kMultipleChoice,  // {"passage", "question", "options"}: ours, see configs/questions.jsonl
  kCsv,             // a header, and a prompt in one of its columns
};
// For people: "OpenAI batch lines".
std::string_view words_of(QuestionFormat format);

// What lines that are no whole requests lack. Batch lines are sent as they are.
struct QuestionDefaults {
  std::string model{};  // empty: see Question::lacks_model
  std::optional<int> max_tokens{};
  std::optional<double> temperature{};
  bool chat = false;     // prompts are asked as a user's message
  std::string column{};  // of a CSV file
  bool choices = false;  // multiple choice is asked as a decision (docs/DECISIONS.md)
};

struct Question {
  std::string key{};   // custom_id, id, or "line-17"
  std::string path{};  // "/v1/completions"
  std::string body{};
  bool lacks_model = false;  // with_model() makes it whole
  // Of multiple choice: which option is right, as the file says it, and how many there are.
  std::string label{};
  std::size_t options = 0;

  // What questions that belong together begin alike with. A view into the body.
  std::string_view beginning() const;
};
std::string with_model(const Question& question, std::string_view model);

// Why a line is no question, with the file and line.
struct BadLine {
  std::string sentence{};
};
struct NoQuestion {};  // an empty line, a header, the beginning of a record

class QuestionParser {
 public:
  using Parsed = std::variant<NoQuestion, Question, BadLine>;

  QuestionParser(std::string file, QuestionDefaults defaults);

  // The line with this number, from 1, without its end.
  Parsed parse(std::string_view line, std::int64_t number);
  // After the last line: a record that never ended.
  std::optional<BadLine> finish() const;
  BadLine too_long(std::int64_t number) const;

  // Once a line has told it.
  std::optional<QuestionFormat> format() const { return format_; }

 private:
  Parsed parse_json(std::string_view line, std::int64_t number);
  Parsed parse_csv(std::string_view line, std::int64_t number);
  Parsed batch_line(simdjson::dom::object object, std::int64_t number);
  Parsed plain_line(simdjson::dom::object object, std::int64_t number);
  Parsed choice_line(simdjson::dom::object object, std::int64_t number);
  Parsed csv_header(std::int64_t number);
  static Question ask(const QuestionDefaults& defaults, std::string_view prompt, std::string key);
  static Question decide(const QuestionDefaults& defaults, std::string_view prompt,
                         const std::vector<std::string_view>& options, std::string key);
  BadLine bad(std::int64_t number, std::string_view why) const;

  const std::string file_;
  const QuestionDefaults defaults_;
  std::optional<QuestionFormat> format_;
  simdjson::dom::parser parser_;
  // Of a CSV file.
  std::string record_;  // its lines so far
  bool open_ = false;   // a quoted field goes on
  std::int64_t record_begin_ = 0;
  std::size_t columns_ = 0;
  std::size_t prompt_column_ = 0;
  std::optional<std::size_t> key_column_;
};

// The fields of a CSV record (RFC 4180). Nothing while a quoted field is open at its end.
std::optional<std::vector<std::string>> csv_fields(std::string_view record);

}  // namespace batchproxy
