// bench/load/questions.h - multiple-choice questions from a JSON Lines file, and how they are asked
// and scored.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace batchproxy::bench {

struct Question {
  std::string passage;  // may be empty
  std::string question;
  std::vector<std::string> options;  // "(A)...", "(B)...", …
  std::string label;                 // "B"
};

// One JSON object a line: passage (may be null), question, options, label. Throws
// std::runtime_error that names the line at fault.
std::vector<Question> load_questions(const std::string& file);

// The prompt of a question. `salt`, if not empty, becomes the first line: runs with different salts
// share no prefix, so that none profits from what an earlier one left in the engines' caches.
std::string prompt_of(const Question& question, std::string_view salt);

// The option letter that an answer chooses: the first capital letter from A to the last option's
// that stands alone, or nothing ('\0').
char chosen_letter(std::string_view answer, std::size_t options);

}  // namespace batchproxy::bench
