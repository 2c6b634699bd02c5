// configs/manual/manual_commands.h - the subcommands `completion` and `manual` of a program: what a
// shell and man(1) want to know of it, made of its own command line.
//
// Threading: start-up only.
#pragma once

#include <functional>
#include <map>
#include <string>

#include <CLI/App.hpp>

#include "configs/manual/command_words.h"

namespace batchproxy {

// The command line that CLI11 has been told of, as values.
CommandWords words_of(const CLI::App& app);

struct WordCommand {
  CLI::App* app = nullptr;   // tells whether it is the chosen one
  std::function<int()> run;  // its exit code: 0, or 2 for a wrong word
};

// `completion SHELL` prints a script that completes the words of `app`, which outlives it.
WordCommand add_completion_command(CLI::App& app);

// What makes the page of a section of the manual, and what that is about.
struct ManualSection {
  std::string about;
  std::function<std::string()> page;
};

// `manual [SECTION]` prints one of these; the least, if none is named.
WordCommand add_manual_command(CLI::App& app, std::map<int, ManualSection> sections);

}  // namespace batchproxy
