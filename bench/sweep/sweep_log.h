// bench/sweep/sweep_log.h - SweepLog: what a sweep has measured so far, a line of JSON each, so
// that one that was stopped goes on where it was; and what that comes to.
//
// Threading: values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bench/results/record.h"
#include "bench/sweep/sweep_plan.h"

namespace batchproxy::bench {

// One run of one setting.
struct SweepPoint {
  Setting setting{};
  std::size_t repeat = 0;
  double per_second = 0;
  double p50 = 0, p99 = 0;       // seconds, of whole answers
  double failed = 0;             // share of the requests
  std::optional<double> fill{};  // prompts of a mean batch
  std::optional<double> prefix_share{};
};

SweepPoint point_of(const Setting& setting, std::size_t repeat, const Summary& summary,
                    const std::optional<FleetCounts>& counts);

struct SweepLog {
  std::string subject{};  // what was asked of whom; points of another subject do not belong here
  Facts facts{};
  std::vector<SweepPoint> points{};
  std::size_t bytes = 0;  // of the whole lines that were read

  bool has(const Setting& setting, std::size_t repeat) const;
};

// The lines of the file: the first for the sweep, one for each point.
std::string head_line(const SweepLog& log);
std::string to_line(const SweepPoint& point);
// A last line that was cut off is left out. Throws std::runtime_error that names the file and line.
SweepLog read_sweep(const std::string& text, const std::string& file);

// All repeats of a setting together.
struct SweepRow {
  Setting setting{};
  std::vector<double> per_second{};  // of each repeat
  double mean = 0;                   // of these
  double deviation = 0;
  double p50 = 0, p99 = 0, failed = 0;  // means
  std::optional<double> fill{}, prefix_share{};
};
// In the order in which they were first measured.
std::vector<SweepRow> rows_of(const SweepLog& log);

// The row with the most questions a second; of those that failed more than 1 % of the requests none
// is best, unless all did. Null without rows.
const SweepRow* best_of(const std::vector<SweepRow>& rows);
// Those that are not worse than the best by more than chance explains (a permutation test over
// repeats, p above 0.05; with fewer than four repeats each nobody can tell, and they all count when
// they are within 2 % of it).
std::vector<const SweepRow*> as_good_as(const SweepRow& best, const std::vector<SweepRow>& rows);

// A table for people, and what to write into the configuration.
std::string to_text(const SweepLog& log);

}  // namespace batchproxy::bench
