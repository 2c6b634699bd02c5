// configs/text/columns.h - how wide text is on a terminal. A character counts as one column.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

// Of UTF-8.
std::size_t columns_of(std::string_view text);
// The first `most` columns; what is cut off ends in a tilde.
std::string cut_to_columns(std::string_view text, std::size_t most);
// Lines of at most `most` columns, which end at blanks where there are any; `text` is of one line.
// It stays whole where `most` is 0.
std::vector<std::string> wrapped(std::string_view text, std::size_t most);

}  // namespace batchproxy
