// proxy/top/figures.h - numbers in few columns, for tables that people read.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

namespace batchproxy {

// "0", "0.25", "3.1", "42", "12k", "3.4M"
std::string short_number(double value);
// "45 ms", "3.1 s", "2:05", "1:02:03", "3 d 04 h"
std::string short_time(double seconds);
// "62%"
std::string percent(double share);

}  // namespace batchproxy
