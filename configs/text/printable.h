// configs/text/printable.h - text of others made safe for a terminal and for a log of lines.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy {

// `text` with its control characters written as \n, \t or \x1b: it can neither begin a line of its
// own nor command a terminal. Tabs count; so do UTF-8's C1 controls, which some terminals obey.
std::string printable(std::string_view text);

}  // namespace batchproxy
