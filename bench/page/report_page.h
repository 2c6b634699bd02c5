// bench/page/report_page.h - load runs as one page with pictures.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bench/results/record.h"

namespace batchproxy::bench {

struct PageRun {
  std::string name{};  // in legends: its file; may be empty when it is the only one
  Record record{};
};

// At most so many: a fifth line could not be told from the others.
inline constexpr std::size_t kMostPageRuns = 4;

std::string report_page(const std::vector<PageRun>& runs);

// Answers a second in `bins` equal parts of the run, at the middle of each.
std::vector<std::pair<double, double>> throughput_over_time(const Repeat& repeat, std::size_t bins);
// A quantile of the latencies of the requests due in each part, in ms; parts without any are left
// out.
std::vector<std::pair<double, double>> latency_over_time(const Repeat& repeat, std::size_t bins,
                                                         double q);
// The share of answers, in percent, by latency in ms; the bins are equal on a logarithmic scale.
std::vector<std::pair<double, double>> latency_histogram(const Record& record, std::size_t bins);

}  // namespace batchproxy::bench
