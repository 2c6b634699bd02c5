// configs/manual/completion.h - scripts by which shells complete a command line.
//
// Threading: pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "configs/manual/command_words.h"

namespace batchproxy {

// For bash, zsh or fish, to be put where the shell looks for it; nothing for another shell.
std::optional<std::string> completion_script(const CommandWords& program, std::string_view shell);

}  // namespace batchproxy
