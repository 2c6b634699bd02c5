// bench/load/workload.h - Workload: what a load run asks, ready to be sent.
//
// Questions come from a file, in any format that `batchproxy run` reads, or are made: see
// synthetic.h. Each becomes a request once; what differs each time it is asked is put in between
// when it is sent.
//
// Threading: pure functions, any thread; load_workload() reads a file.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "backends/questions/question_file.h"

namespace batchproxy::bench {

// How the questions are asked.
struct Manner {
  QuestionDefaults defaults{};
  bool stream = false;
  bool echo = false;  // completions repeat their prompt, which is then checked
};

// A request with two places that are filled when it is sent: one in front of its first text, which
// tells runs apart, and one in front of the last line of its last text, which tells requests apart.
struct ReadyQuestion {
  std::string path{};
  std::array<std::string, 3> parts{};  // of the body: the places are between them
  bool has_places = false;             // false: its body is the first part
  bool lacks_model = false;            // see give_model()
  bool echoes = false;                 // its answer begins with its prompt
  bool chat = false;
  bool streams = false;
  std::string label{};  // the right option, "B"; empty: not known
  std::size_t options = 0;

  // The whole body; both texts are escaped as JSON.
  std::array<std::string_view, 5> body(std::string_view salt, std::string_view id) const;
};

// Why there is nothing to ask: names the file, and the line where one is at fault.
class UnusableWorkload : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

ReadyQuestion make_ready(const Question& question, const Manner& manner);

// All questions of a file ("-": standard input). Throws UnusableWorkload.
std::vector<ReadyQuestion> load_workload(const std::string& file, const Manner& manner);

// Names the model in all that name none.
void give_model(std::string_view model, std::vector<ReadyQuestion>& questions);

// A text as a line of its own, escaped for the places above; "" for "".
std::string as_first_line(std::string_view text);

// "is none of the options A to D": what is wrong with the label of a question; empty: nothing.
std::string fault_of_label(const Question& question);

// The option letter that an answer chooses: the first capital letter from A to the last option's
// that stands alone, or nothing ('\0').
char chosen_letter(std::string_view answer, std::size_t options);

}  // namespace batchproxy::bench
