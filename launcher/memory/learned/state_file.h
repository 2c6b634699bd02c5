// launcher/memory/learned/state_file.h - a small file that several processes change: never half
// written, never changed by two at once.
//
// Threading: any thread and any process.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

// The text of a file of at most 16 MiB: "" where there is none. `problem` is a sentence when it
// cannot be read.
struct StateText {
  std::string text;
  std::string problem;
};
StateText read_state_file(const std::string& path);

// Replaces the file's text by what `change` makes of it, in one step (a new file is renamed over
// it), while no other process does. Nothing from `change` says that the old text cannot be used:
// the file is set aside as PATH.broken, and `change` is asked once more, with "". Directories are
// made. Returns sentences about what went wrong; empty when nothing did.
std::string change_state_file(
    const std::string& path,
    const std::function<std::optional<std::string>(std::string_view)>& change);

}  // namespace batchproxy
