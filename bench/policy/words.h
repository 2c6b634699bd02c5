// bench/policy/words.h - situations and ways of sending in the words of those who read about them.
//
// Threading: pure functions.
#pragma once

#include <span>
#include <string>

#include "bench/policy/grid.h"

namespace batchproxy::bench {

// "A100".
std::string card_name(sim::Gpu gpu);

// "A100, 4 x TP2, mcqa, 4 to a passage, 128 workers", and what is unusual about it.
std::string name_of(const Cell& cell);

// What the words mean that occur in these rows, as a Markdown list.
std::string legend_of(std::span<const Row> rows);

}  // namespace batchproxy::bench
