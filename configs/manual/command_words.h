// configs/manual/command_words.h - CommandWords: a program's command line as plain values, of which
// completions and manual pages are made.
//
// Threading: plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

// A flag that stands in no help: a command that knows of it prints the words that may come next, a
// line each, or nothing.
inline constexpr const char* kTellWords = "--words";

struct FlagWords {
  std::vector<std::string> names;  // "-o", "--answers"
  std::string takes;               // "FILE"; empty for one that stands alone
  std::string meaning;
};

struct CommandWords {
  std::string name;
  std::string meaning;
  std::vector<std::string> arguments{};  // "QUESTIONS"
  std::vector<FlagWords> flags{};
  std::vector<CommandWords> commands{};
  std::string examples{};    // lines, as its help ends
  bool tells_words = false;  // behind what is written so far, kTellWords prints what may come next
};

// Whether a value of that kind is the name of a file or a folder.
bool is_path(std::string_view takes);

}  // namespace batchproxy
