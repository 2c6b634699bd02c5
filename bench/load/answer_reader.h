// bench/load/answer_reader.h - what an answer says: its text, its tokens, when they came, and what
// went wrong.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy::bench {

// Of any answer. `problem` is empty when it is a good one.
struct AnswerText {
  std::string text{};
  std::int64_t prompt_tokens = 0;
  std::int64_t output_tokens = 0;
  std::string problem{};  // a word: "503 no_backend", "garbage"
  std::string detail{};   // a sentence
};

// An answer that is a JSON object, or the error that it should be.
AnswerText read_answer(unsigned status, std::string_view body);

// A stream of events, in whatever cut it comes. A token is an event with some text.
class StreamReader {
 public:
  // `now`: seconds since the run began.
  void take(std::string_view bytes, double now);

  // After the last byte: what has come. A stream without its end (`data: [DONE]`) is cut.
  AnswerText finish();

  double first() const { return first_; }
  std::vector<float>& gaps() { return gaps_; }

 private:
  void take_line(std::string_view line, double now);
  void take_event(std::string_view json, double now);

  std::string held_;  // the beginning of a line
  AnswerText answer_;
  std::vector<float> gaps_;
  double first_ = 0;
  double last_ = 0;
  bool done_ = false;
};

}  // namespace batchproxy::bench
