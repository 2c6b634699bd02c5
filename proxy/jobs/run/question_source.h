// proxy/jobs/run/question_source.h - QuestionSource: the questions of a file, read twice: once into
// the ledger, with everything that is wrong, and once more as they are asked.
//
// What cannot be read twice (standard input, a pipe) is first copied to a file without a name, in
// the folder of the answers.
//
// Threading: confined to one thread. Reads block.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "backends/questions/line_reader.h"
#include "backends/questions/question_file.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

// The file is no question file; the text names lines, and says what to do.
class UnusableQuestions : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What is asked, and where: another of either is another question.
std::string hash_of(const Question& question);

class QuestionSource {
 public:
  // `path`: "-" is standard input. Throws UnusableQuestions when it cannot be opened.
  QuestionSource(const std::string& path, QuestionDefaults defaults, const std::string& folder);
  ~QuestionSource();
  QuestionSource(const QuestionSource&) = delete;
  QuestionSource& operator=(const QuestionSource&) = delete;

  struct Found {
    std::int64_t questions = 0;
    QuestionFormat format = QuestionFormat::kPlainLines;
    bool lacks_model = false;  // any of them
    Question first{};
  };
  // Notes all questions. Throws UnusableQuestions, with the first few lines that are wrong.
  Found note_all(Ledger::Reading& reading);

  // From here on read() begins with the first line.
  void rewind();
  // Gives the next questions to `take` until that says false, or some thousand lines are read.
  // False at the end.
  bool read(const std::function<bool(Question&&)>& take);

 private:
  QuestionParser::Parsed next(bool& end);

  const std::string name_;
  const QuestionDefaults defaults_;
  int fd_ = -1;
  std::unique_ptr<LineReader> lines_;
  std::unique_ptr<QuestionParser> parser_;
  std::string line_;
};

}  // namespace batchproxy
