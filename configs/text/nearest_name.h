// configs/text/nearest_name.h - "did you mean ...?"
//
// Threading: any thread; no state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

// Insertions, deletions, replacements and swaps of neighbours that turn one name into the other.
// Upper and lower case are the same, and so are dashes and underscores.
std::size_t edit_distance(std::string_view left, std::string_view right);

// The candidate closest to `name`: at most two edits away, one for names of up to five letters,
// where two edits reach unrelated words.
std::optional<std::string_view> nearest_name(std::string_view name,
                                             const std::vector<std::string_view>& candidates);

// "; did you mean 'listen'?", or nothing.
std::string suggestion(std::string_view name, const std::vector<std::string_view>& candidates);

// "listen, admin, io_threads".
std::string join(const std::vector<std::string_view>& words);

}  // namespace batchproxy
