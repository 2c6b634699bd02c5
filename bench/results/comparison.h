// bench/results/comparison.h - two load runs side by side: how much each figure differs, and
// whether that is more than chance.
//
// The test is a permutation test: if both runs were alike, the figures of their parts could be
// dealt to them in any way. p is the share of dealings whose means differ at least as much as those
// that were measured: all dealings when they are few, else 10,000 of a fixed seed. The parts are
// the repeats of a run, when both have four or more; else equal slices of its time. Slices of one
// run are more alike than runs are, so that small differences pass for real more often.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bench/results/record.h"

namespace batchproxy::bench {

// The p of the test above; 1 when a side has no values.
double permutation_p(const std::vector<double>& a, const std::vector<double>& b);

struct FigureChange {
  std::string figure{};  // "questions/s", "e2el p99 ms"
  double from = 0, to = 0;
  bool more_is_better = false;
  double p = 1;

  std::optional<double> relative() const;  // (to - from) / from
};

struct Comparison {
  std::string parts{};  // for people: "5 and 5 repeats", "20 slices of time each"
  double level = 0.05;  // a difference whose p is less is called real
  std::vector<FigureChange> changes{};
  std::vector<std::string> differences{};  // facts that are not the same in both
  std::vector<std::string> unlike{};       // names of those without which runs are not alike
};
Comparison compare(const Record& a, const Record& b);

std::string to_text(const Comparison& comparison);

}  // namespace batchproxy::bench
