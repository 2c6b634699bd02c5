// bench/policy/grid.h - the situations in which policies are compared, and running them.
//
// Threading: run_grid() uses threads of its own; the rest are pure functions.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/policy/router.h"
#include "bench/policy/workload.h"
#include "bench/policy/world.h"

namespace batchproxy::bench {

// One situation.
struct Cell {
  WorldOptions world;
  WorkloadOptions workload;
  // Instead of that workload: requests that somebody else has made, and what they are called.
  std::shared_ptr<const std::vector<PromptRequest>> asked{};
  std::string asked_name{};
};

std::string shape_of(const Cell& cell);  // such as "4xTP2"
// Whether plain routers are run too, to compare with the best of them: one passage asked about over
// and over, or one slow server, where affinity and queueing could go wrong.
bool is_skewed(const Cell& cell);

// Every hardware, shape and workload at 1 to 512 workers, and what is special.
std::vector<Cell> default_grid();
// A dozen telling cells of it, with fewer requests: seconds.
std::vector<Cell> small_grid();

// What became of a policy in a cell.
struct Row {
  Cell cell;
  Policy policy = Policy::kDefault;
  Measurement measured;
  double bound = 0;                   // requests per second that no policy can exceed
  double pass_through = 0;            // requests per second
  std::optional<double> best_router;  // of the rules of other routers; kDefault only
  std::optional<double> best_plain;   // of the plain routers; kDefault in skewed cells
  std::optional<double> unmerged;     // of kMergeOff; kDefault where it has merged

  double fraction_of_bound() const { return measured.throughput / bound; }
  double over_pass_through() const { return measured.throughput / pass_through; }
};

// In the order of cells, then of policies; independent of the number of threads.
std::vector<Row> run_grid(std::span<const Cell> cells, std::span<const Policy> policies,
                          unsigned threads);

// Of the rows of as many runs over the same cells, one after the other, in which only the seeds
// differ: the mean of each figure.
std::vector<Row> mean_of_runs(std::span<const Row> rows, std::size_t runs);

}  // namespace batchproxy::bench
