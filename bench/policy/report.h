// bench/policy/report.h - a policy grid in figures, and whether they hold what we promise.
//
// Threading: pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bench/policy/grid.h"

namespace batchproxy::bench {

// A promise about the default policy, held against the rows that it speaks of.
struct Promise {
  std::string text;
  double floor = 0;
  std::size_t cells = 0;
  double worst = 0;
  std::string worst_cell;

  bool kept() const { return worst >= floor; }
};

// Those that some row is about.
std::vector<Promise> check_promises(std::span<const Row> rows);

// For people, in Markdown: what was asked, how fast each way of sending is, how it compares, and
// what the words mean.
std::string to_text(std::span<const Row> rows);
std::string to_text(std::span<const Promise> promises);
// Of situations that differ in hardware and topology only: which is best, in a sentence for each
// number of workers.
std::string best_topologies(std::span<const Row> rows);
std::string to_json(std::span<const Row> rows);

}  // namespace batchproxy::bench
