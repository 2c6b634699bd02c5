// bench/commands/manual_command.h - `batchproxy-bench completion` and `manual`: what a shell and
// man(1) want to know of this program.
//
// Threading: start-up only.
#pragma once

#include <vector>

#include <CLI/App.hpp>

#include "configs/manual/manual_commands.h"

namespace batchproxy::bench {

// Declares both, once `app` has all others.
std::vector<WordCommand> add_word_commands(CLI::App& app);

}  // namespace batchproxy::bench
