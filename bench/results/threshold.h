// bench/results/threshold.h - what a run must reach, as a user writes it: 'e2el.p99<2s'.
//
// Threading: pure functions, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/results/summary.h"

namespace batchproxy::bench {

// FIGURE<BOUND or FIGURE>BOUND (also <= and >=).
struct Threshold {
  std::string text{};    // as written
  std::string figure{};  // "e2el.p99", "failed"
  bool at_most = true;
  bool or_equal = false;
  double bound = 0;  // seconds of a latency; else a number, or a share
};
// Throws std::runtime_error that says what is wrong with it, and what there is.
Threshold parse_threshold(const std::string& text);

struct Verdict {
  std::string text{};
  std::optional<double> value{};  // nothing: the run has no such figure
  bool kept = false;
  std::string shown{};  // the value for people: "1.84 s", "3 %"
};
std::vector<Verdict> judge(std::span<const Threshold> thresholds, const Summary& summary);

// A line for each, with a tick or a cross.
std::string to_text(std::span<const Verdict> verdicts);

}  // namespace batchproxy::bench
