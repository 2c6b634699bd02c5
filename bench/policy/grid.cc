// bench/policy/grid.cc - see grid.h.
#include "bench/policy/grid.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <initializer_list>
#include <thread>

#include <fmt/format.h>

#include "bench/policy/bound.h"

namespace batchproxy::bench {

namespace {

constexpr int kHotSharing = 64;      // requests per passage
constexpr double kSmallCache = 0.1;  // forgets a passage before its last question comes
// Of short prompts more are sent, or the run would be over before the scheduler has learnt
// anything.
constexpr std::size_t kShortFactor = 8;

struct Shape {
  std::size_t servers;
  int tensor_parallel;
};
constexpr Shape kOneOfEight{1, 8};
constexpr Shape kFourOfTwo{4, 2};
constexpr Shape kEightOfOne{8, 1};

using Sizes = std::initializer_list<std::size_t>;

// Collects cells; each call of add() makes one per number of workers.
class Grid {
 public:
  Grid(std::size_t least_requests, std::size_t requests_per_worker)
      : least_requests_(least_requests), requests_per_worker_(requests_per_worker) {}

  Cell& cell(sim::Gpu gpu, Shape shape, Workload kind, int sharing, std::size_t workers) {
    Cell& cell = cells_.emplace_back();
    cell.world.gpu = gpu;
    cell.world.servers = shape.servers;
    cell.world.tensor_parallel = shape.tensor_parallel;
    cell.world.workers = workers;
    cell.workload.kind = kind;
    cell.workload.sharing = sharing;
    cell.workload.count = std::max(least_requests_, requests_per_worker_ * workers);
    if (kind == Workload::kShort) cell.workload.count *= kShortFactor;
    return cell;
  }
  void add(sim::Gpu gpu, Shape shape, Workload kind, int sharing, Sizes workers) {
    for (const std::size_t count : workers) cell(gpu, shape, kind, sharing, count);
  }
  std::vector<Cell> take() { return std::move(cells_); }

 private:
  const std::size_t least_requests_;
  const std::size_t requests_per_worker_;
  std::vector<Cell> cells_;
};

void add_special(Grid& grid, sim::Gpu gpu) {
  // Shared passages.
  for (const Shape shape : {kOneOfEight, kFourOfTwo, kEightOfOne}) {
    grid.add(gpu, shape, Workload::kChoices, 4, {1, 8, 32, 128, 512});
  }
  grid.add(gpu, kFourOfTwo, Workload::kChoices, 4, {1024});
  for (const Shape shape : {kFourOfTwo, kEightOfOne}) {
    grid.add(gpu, shape, Workload::kChoices, 16, {32, 128, 512});
  }
  grid.add(gpu, kFourOfTwo, Workload::kOneToken, 4, {32, 128, 512});
  grid.add(gpu, kFourOfTwo, Workload::kGeneration, 4, {32, 128, 512});
  // One passage that everybody asks about.
  grid.add(gpu, kFourOfTwo, Workload::kChoices, 100, {32, 128, 512});
  grid.add(gpu, kFourOfTwo, Workload::kChoices, 1000, {32, 128, 512});
  for (const std::size_t workers : Sizes{24, 56}) {
    grid.cell(gpu, kFourOfTwo, Workload::kChoices, 64, workers).workload.window = 1;
  }
  // One slow server.
  for (const std::size_t workers : Sizes{32, 128, 512}) {
    grid.cell(gpu, kFourOfTwo, Workload::kChoices, 1, workers).world.slowdown = 2;
    grid.cell(gpu, kFourOfTwo, Workload::kChoices, 4, workers).world.slowdown = 2;
    grid.cell(gpu, kFourOfTwo, Workload::kGeneration, 1, workers).world.slowdown = 2;
  }
  // A front end that is slow with every HTTP request.
  for (const Workload kind : {Workload::kShort, Workload::kOneToken, Workload::kGeneration}) {
    grid.cell(gpu, kFourOfTwo, kind, 1, 256).world.front_end.per_call = 4e-3;
  }
  // Workers with something to do between requests.
  for (const std::size_t workers : Sizes{32, 128}) {
    grid.cell(gpu, kFourOfTwo, Workload::kChoices, 1, workers).world.think_seconds = 0.3;
    grid.cell(gpu, kFourOfTwo, Workload::kGeneration, 1, workers).world.think_seconds = 0.3;
  }
}

// Passages as real files have them: some with two questions, some with a dozen.
Cell& uneven_cell(Grid& grid, sim::Gpu gpu, Shape shape, Workload kind, std::size_t workers) {
  Cell& cell = grid.cell(gpu, shape, kind, 2, workers);
  cell.workload.most_sharing = 12;
  return cell;
}

// And what jobs, files and servers do to them.
void add_uneven(Grid& grid, sim::Gpu gpu) {
  const auto uneven = [&](std::size_t workers, Workload kind = Workload::kChoices,
                          Shape shape = kFourOfTwo) -> Cell& {
    return uneven_cell(grid, gpu, shape, kind, workers);
  };
  for (const std::size_t workers : Sizes{8, 32, 64, 128, 512}) {
    uneven(workers);
    uneven(workers).workload.window = 64;
    uneven(workers).workload.window = 1;
    Cell& whole = uneven(workers);
    whole.workload.window = whole.workload.count;
  }
  for (const int sharing : {5, 8, 12, 40, 1000}) {
    grid.add(gpu, kFourOfTwo, Workload::kChoices, sharing, {8, 64, 256});
  }
  for (const std::size_t workers : Sizes{32, 128, 512}) {
    uneven(workers, Workload::kGeneration);
    uneven(workers, Workload::kChoices, kEightOfOne);
    uneven(workers).workload.beside = Workload::kGeneration;
    uneven(workers).workload.beside = Workload::kOneToken;
    Cell& slow = uneven(workers);
    slow.world.slow_servers = 2;
    slow.world.slowdown = 2;
  }
  for (const std::size_t workers : Sizes{32, 128}) {
    for (const int tokens : {150, 3500, 7500}) uneven(workers).workload.passage_tokens = tokens;
    for (const int tokens : {8, 256}) uneven(workers).workload.output_tokens = tokens;
    uneven(workers).world.kv_share = kSmallCache;
  }
}

double throughput(const Cell& cell, Policy policy, std::span<const PromptRequest> requests) {
  const auto router = make_router(policy, requests, cell.world.servers, traits_of(cell.world));
  return run_world(cell.world, requests, *router).throughput;
}

double best_plain(const Cell& cell, std::span<const PromptRequest> requests) {
  return std::max({throughput(cell, Policy::kRoundRobin, requests),
                   throughput(cell, Policy::kLeastOutstanding, requests),
                   throughput(cell, Policy::kSingleHome, requests)});
}

double best_router(const Cell& cell, std::span<const PromptRequest> requests) {
  return std::max(throughput(cell, Policy::kCacheAware, requests),
                  throughput(cell, Policy::kPrefixHash, requests));
}

void add(std::optional<double>& sum, const std::optional<double>& other) {
  if (sum && other) *sum += *other;
}

void add(Row& sum, const Row& other) {
  Measurement& mine = sum.measured;
  mine.throughput += other.measured.throughput;
  mine.p50 += other.measured.p50;
  mine.p99 += other.measured.p99;
  mine.hit_rate += other.measured.hit_rate;
  mine.prompts_per_call += other.measured.prompts_per_call;
  mine.preemptions += other.measured.preemptions;
  sum.bound += other.bound;
  sum.pass_through += other.pass_through;
  add(sum.best_router, other.best_router);
  add(sum.best_plain, other.best_plain);
  // What one run merged, another may not have: nothing to compare with, then.
  if (!other.unmerged) sum.unmerged.reset();
  add(sum.unmerged, other.unmerged);
}

void divide(Row& sum, double by) {
  Measurement& mine = sum.measured;
  for (double* value : {&mine.throughput, &mine.p50, &mine.p99, &mine.hit_rate,
                        &mine.prompts_per_call, &sum.bound, &sum.pass_through}) {
    *value /= by;
  }
  mine.preemptions = static_cast<std::uint64_t>(static_cast<double>(mine.preemptions) / by);
  for (std::optional<double>* value : {&sum.best_router, &sum.best_plain, &sum.unmerged}) {
    if (*value) **value /= by;
  }
}

// One row for each policy.
void run_cell(const Cell& cell, std::span<const Policy> policies, Row* rows) {
  const std::vector<PromptRequest> made =
      cell.asked ? std::vector<PromptRequest>() : make_requests(cell.workload);
  const std::vector<PromptRequest>& requests = cell.asked ? *cell.asked : made;
  const double bound = throughput_bound(cell.world, requests);
  const double pass_through = throughput(cell, Policy::kPassThrough, requests);
  for (const Policy policy : policies) {
    Row& row = *rows++;
    row.cell = cell;
    row.policy = policy;
    row.bound = bound;
    row.pass_through = pass_through;
    const auto router = make_router(policy, requests, cell.world.servers, traits_of(cell.world));
    row.measured = run_world(cell.world, requests, *router);
    if (policy != Policy::kDefault) continue;
    row.best_router = best_router(cell, requests);
    if (is_skewed(cell)) row.best_plain = best_plain(cell, requests);
    // Without a merged call there is nothing that could differ.
    if (row.measured.prompts_per_call > 1) {
      row.unmerged = throughput(cell, Policy::kMergeOff, requests);
    }
  }
}

}  // namespace

std::string shape_of(const Cell& cell) {
  return fmt::format("{}xTP{}", cell.world.servers, cell.world.tensor_parallel);
}

bool is_skewed(const Cell& cell) {
  return cell.workload.sharing >= kHotSharing || cell.world.slowdown != 1;
}

std::vector<Cell> default_grid() {
  Grid grid(6000, 24);
  for (const sim::Gpu gpu : {sim::Gpu::kA100, sim::Gpu::kH100}) {
    for (const Shape shape : {kOneOfEight, kFourOfTwo, kEightOfOne}) {
      for (const Workload kind : {Workload::kChoices, Workload::kOneToken, Workload::kGeneration,
                                  Workload::kMixed, Workload::kShort, Workload::kLongGeneration}) {
        grid.add(gpu, shape, kind, 1, {1, 8, 32, 128, 512});
      }
    }
    add_special(grid, gpu);
    add_uneven(grid, gpu);
  }
  return grid.take();
}

std::vector<Cell> small_grid() {
  Grid grid(2000, 16);
  grid.add(sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 4, {8, 128, 512});
  grid.add(sim::Gpu::kH100, kFourOfTwo, Workload::kChoices, 4, {512});
  grid.add(sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 1, {1, 32});
  grid.add(sim::Gpu::kA100, kFourOfTwo, Workload::kGeneration, 1, {32});
  grid.add(sim::Gpu::kA100, kOneOfEight, Workload::kChoices, 4, {32});
  grid.add(sim::Gpu::kH100, kEightOfOne, Workload::kShort, 1, {32});
  grid.add(sim::Gpu::kH100, kFourOfTwo, Workload::kShort, 1, {512});
  grid.add(sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 1000, {32, 128});
  grid.cell(sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 4, 128).world.slowdown = 2;
  uneven_cell(grid, sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 128);
  uneven_cell(grid, sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 64).workload.window = 1;
  Cell& slow = uneven_cell(grid, sim::Gpu::kA100, kFourOfTwo, Workload::kChoices, 128);
  slow.world.slowdown = 2;
  slow.world.slow_servers = 2;
  grid.cell(sim::Gpu::kA100, kFourOfTwo, Workload::kShort, 1, 256).world.front_end.per_call = 4e-3;
  return grid.take();
}

std::vector<Row> run_grid(std::span<const Cell> cells, std::span<const Policy> policies,
                          unsigned threads) {
  std::vector<Row> rows(cells.size() * policies.size());
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  std::exception_ptr failure;
  auto work = [&] {
    try {
      for (std::size_t i = next++; i < cells.size() && !failed; i = next++) {
        run_cell(cells[i], policies, rows.data() + i * policies.size());
      }
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> pool;
    for (unsigned i = 1; i < threads; ++i) pool.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return rows;
}

std::vector<Row> mean_of_runs(std::span<const Row> rows, std::size_t runs) {
  const std::size_t count = rows.size() / runs;
  std::vector<Row> means(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = count; i < rows.size(); ++i) add(means[i % count], rows[i]);
  for (Row& mean : means) divide(mean, static_cast<double>(runs));
  return means;
}

}  // namespace batchproxy::bench
