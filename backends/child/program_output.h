// backends/child/program_output.h - asks a program, but not for longer than one would wait.
//
// Threading: any thread; blocks until the program has answered or the time is over.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace batchproxy {

// What the program argv[0], a path, says on stdout until it closes that: 64 KiB at most. Nothing
// when it cannot be run, says nothing, or takes longer than `most`. It and what it has started are
// killed then; its stdin is empty, and its stderr is dropped.
std::optional<std::string> program_output(const std::vector<std::string>& argv,
                                          std::chrono::seconds most);

}  // namespace batchproxy
