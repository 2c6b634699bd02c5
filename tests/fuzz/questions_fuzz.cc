// tests/fuzz/questions_fuzz.cc - a file of questions: whatever its lines are, a question is a
// request of valid JSON, a complaint one line, and so is the line of its answer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "backends/questions/question_file.h"
#include "proxy/jobs/run/answer_file.h"

namespace batchproxy {
namespace {

bool is_object(const std::string& text) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  return parser.parse(text).get(object) == simdjson::SUCCESS;
}

bool is_a_line(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

void look_at(const Question& question) {
  if (question.key.empty() || !question.path.starts_with('/')) std::abort();
  if (!is_object(question.body) || !is_object(with_model(question, "a \"model\""))) std::abort();
  if (question.body.find(question.beginning()) == std::string::npos) std::abort();
  ItemOutcome outcome;
  outcome.key = question.key;
  outcome.status = 200;
  outcome.answer = question.body;
  std::string line = answer_line(outcome, true);
  if (!line.ends_with('\n')) std::abort();
  line.pop_back();
  if (!is_a_line(line) || !is_object(line)) std::abort();
}

}  // namespace
}  // namespace batchproxy

// The first byte says what flags there are.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchproxy;
  if (size == 0) return 0;
  QuestionDefaults defaults;
  defaults.chat = (data[0] & 1) != 0;
  if ((data[0] & 2) != 0) defaults.model = "m";
  if ((data[0] & 4) != 0) defaults.max_tokens = 7;
  if ((data[0] & 8) != 0) defaults.temperature = 0.5;
  if ((data[0] & 16) != 0) defaults.column = "p";
  QuestionParser parser("file", defaults);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const auto parsed = parser.parse(std::string(rest.substr(0, end)), number);
    if (const auto* bad = std::get_if<BadLine>(&parsed); bad && !is_a_line(bad->sentence)) {
      std::abort();
    }
    if (const auto* question = std::get_if<Question>(&parsed)) look_at(*question);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (const auto bad = parser.finish(); bad && !is_a_line(bad->sentence)) std::abort();
  // A body of an engine, whatever it is.
  ItemOutcome outcome;
  outcome.key = "k";
  outcome.status = 500;
  outcome.state = ItemState::kFailed;
  outcome.answer = std::string(reinterpret_cast<const char*>(data), size);
  std::string line = answer_line(outcome, false);
  line.pop_back();
  if (!is_a_line(line) || !is_object(line)) std::abort();
  return 0;
}
