// bench/results/text.h - a load run for people, as lines.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

#include "bench/results/record.h"

namespace batchproxy::bench {

// What was measured, and how it came out.
std::string to_text(const Record& record);

// Whether this program itself was too busy for its figures to be the server's: it took most of a
// core.
bool client_was_busy(const Record& record);

// "1.84 s", "312 ms", "0.42 ms": three digits.
std::string time_words(double seconds);

// "3 of 151 failed: 2 × 503 no_backend, 1 × refused"
std::string failures_in_short(const Summary& summary);

}  // namespace batchproxy::bench
