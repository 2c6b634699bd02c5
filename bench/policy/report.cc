// bench/policy/report.cc - see report.h.
#include "bench/policy/report.h"

#include <algorithm>
#include <iterator>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

constexpr double kSlowFrontEnd = 4e-3;  // seconds per HTTP request

bool is_front_end_bound(const Row& row) {
  return row.cell.world.front_end.per_call >= kSlowFrontEnd &&
         row.cell.workload.kind == Workload::kShort;
}

// The case that batchproxy is for: 4 x TP2, four questions to a passage.
bool is_shared(const Row& row, sim::Gpu gpu, std::size_t workers) {
  const Cell& cell = row.cell;
  return cell.world.gpu == gpu && cell.world.workers == workers && shape_of(cell) == "4xTP2" &&
         cell.workload.kind == Workload::kChoices && cell.workload.sharing == 4 && !is_skewed(cell);
}

bool is_any(const Row&) {
  return true;
}
bool is_shared_a100_128(const Row& row) {
  return is_shared(row, sim::Gpu::kA100, 128);
}
bool is_shared_a100_512(const Row& row) {
  return is_shared(row, sim::Gpu::kA100, 512);
}
bool is_shared_h100_512(const Row& row) {
  return is_shared(row, sim::Gpu::kH100, 512);
}
bool shares(const Row& row) {
  return row.best_router && row.cell.workload.shares();
}
bool shares_nothing(const Row& row) {
  return row.best_router && !row.cell.workload.shares();
}
bool has_plain(const Row& row) {
  return row.best_plain && row.cell.world.slow_servers == 1;
}
bool has_several_slow(const Row& row) {
  return row.best_plain && row.cell.world.slow_servers > 1;
}
bool merges_elsewhere(const Row& row) {
  return row.unmerged && !is_front_end_bound(row);
}

double over_pass_through(const Row& row) {
  return row.over_pass_through();
}
double of_bound(const Row& row) {
  return row.fraction_of_bound();
}
double over_plain(const Row& row) {
  return row.measured.throughput / *row.best_plain;
}
double over_router(const Row& row) {
  return row.measured.throughput / *row.best_router;
}
double over_unmerged(const Row& row) {
  return row.unmerged ? row.measured.throughput / *row.unmerged : 1;
}

struct Claim {
  std::string_view text;
  double floor;
  bool (*applies)(const Row&);
  double (*value)(const Row&);
};

constexpr Claim kClaims[] = {
    {"over pass-through, every cell", 0.98, is_any, over_pass_through},
    {"over pass-through, shared passages, a100, 128 workers", 1.45, is_shared_a100_128,
     over_pass_through},
    {"over pass-through, shared passages, a100, 512 workers", 1.60, is_shared_a100_512,
     over_pass_through},
    {"of the bound, shared passages, a100, 512 workers", 0.95, is_shared_a100_512, of_bound},
    {"over pass-through, shared passages, h100, 512 workers", 1.50, is_shared_h100_512,
     over_pass_through},
    {"of the bound, shared passages, h100, 512 workers", 0.88, is_shared_h100_512, of_bound},
    {"over the best rule of other routers, shared passages", 0.95, shares, over_router},
    {"over the best rule of other routers, nothing shared", 0.96, shares_nothing, over_router},
    {"over the best plain router, hot passage or slow server", 0.95, has_plain, over_plain},
    {"over the best plain router, several slow servers", 0.90, has_several_slow, over_plain},
    {"merging over not merging, slow front end, short prompts", 1.50, is_front_end_bound,
     over_unmerged},
    {"merging over not merging, wherever else it merged", 0.98, merges_elsewhere, over_unmerged},
};

// "a100 4xTP2 mcqa g=4 W=128", and what is unusual about it.
std::string name_of(const Cell& cell) {
  const WorkloadOptions& work = cell.workload;
  std::string name = fmt::format("{} {} {} g={}", gpu_name(cell.world.gpu), shape_of(cell),
                                 name_of(work.kind), work.sharing);
  if (work.most_sharing > work.sharing) name += fmt::format("-{}", work.most_sharing);
  name += fmt::format(" W={}", cell.world.workers);
  if (work.window == 1) {
    name += " in order";
  } else if (work.window == work.count) {
    name += " mixed whole";
  } else if (work.window != WorkloadOptions{}.window) {
    name += fmt::format(" mixed={}", work.window);
  }
  if (work.beside) name += fmt::format(" beside {}", name_of(*work.beside));
  if (work.passage_tokens != 0) name += fmt::format(" passage={}", work.passage_tokens);
  if (work.output_tokens != 0) name += fmt::format(" output={}", work.output_tokens);
  if (cell.world.kv_share != 1) name += fmt::format(" cache={}", cell.world.kv_share);
  if (cell.world.slowdown != 1) name += fmt::format(" slow={}", cell.world.slowdown);
  if (cell.world.slow_servers != 1) name += fmt::format("x{}", cell.world.slow_servers);
  if (cell.world.think_seconds != 0) name += fmt::format(" think={}s", cell.world.think_seconds);
  if (cell.world.front_end.per_call != sim::FrontEndCosts{}.per_call) {
    name += fmt::format(" http={}ms", 1e3 * cell.world.front_end.per_call);
  }
  return name;
}

}  // namespace

std::vector<Promise> check_promises(std::span<const Row> rows) {
  std::vector<Promise> promises;
  for (const Claim& claim : kClaims) {
    Promise promise;
    promise.text = claim.text;
    promise.floor = claim.floor;
    for (const Row& row : rows) {
      if (row.policy != Policy::kDefault || !claim.applies(row)) continue;
      const double value = claim.value(row);
      if (promise.cells++ == 0 || value < promise.worst) {
        promise.worst = value;
        promise.worst_cell = name_of(row.cell);
      }
    }
    if (promise.cells > 0) promises.push_back(std::move(promise));
  }
  return promises;
}

std::string to_table(std::span<const Row> rows) {
  std::string text =
      "| cell | policy | req/s | p50 s | p99 s | hits | prompts/call | of bound | over "
      "pass-through "
      "| over best router | over best plain | over unmerged |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  auto out = std::back_inserter(text);
  for (const Row& row : rows) {
    fmt::format_to(out,
                   "| {} | {} | {:.1f} | {:.3f} | {:.3f} | {:.2f} | {:.1f} | {:.2f} | {:.3f} |",
                   name_of(row.cell), name_of(row.policy), row.measured.throughput,
                   row.measured.p50, row.measured.p99, row.measured.hit_rate,
                   row.measured.prompts_per_call, row.fraction_of_bound(), row.over_pass_through());
    text += row.best_router ? fmt::format(" {:.3f} |", over_router(row)) : " |";
    text += row.best_plain ? fmt::format(" {:.3f} |", over_plain(row)) : " |";
    text += row.unmerged ? fmt::format(" {:.3f} |\n", over_unmerged(row)) : " |\n";
  }
  return text;
}

std::string to_text(std::span<const Promise> promises) {
  std::string text;
  for (const Promise& promise : promises) {
    text += fmt::format("{} {:<56} least {:.3f} of {:3} cells, promised {:.2f}  ({})\n",
                        promise.kept() ? "kept  " : "BROKEN", promise.text, promise.worst,
                        promise.cells, promise.floor, promise.worst_cell);
  }
  return text;
}

std::string to_json(std::span<const Row> rows) {
  json::array cells;
  for (const Row& row : rows) {
    const Cell& cell = row.cell;
    json::object object{{"hardware", gpu_name(cell.world.gpu)},
                        {"shape", shape_of(cell)},
                        {"workload", name_of(cell.workload.kind)},
                        {"sharing", cell.workload.sharing},
                        {"most_sharing", cell.workload.most_sharing},
                        {"window", cell.workload.window},
                        {"passage_tokens", cell.workload.passage_tokens},
                        {"output_tokens", cell.workload.output_tokens},
                        {"workers", cell.world.workers},
                        {"slowdown", cell.world.slowdown},
                        {"slow_servers", cell.world.slow_servers},
                        {"kv_share", cell.world.kv_share},
                        {"think_seconds", cell.world.think_seconds},
                        {"http_seconds", cell.world.front_end.per_call},
                        {"policy", name_of(row.policy)},
                        {"throughput", row.measured.throughput},
                        {"p50", row.measured.p50},
                        {"p99", row.measured.p99},
                        {"hit_rate", row.measured.hit_rate},
                        {"prompts_per_call", row.measured.prompts_per_call},
                        {"preemptions", row.measured.preemptions},
                        {"ratio_to_passthrough", row.over_pass_through()},
                        {"fraction_of_bound", row.fraction_of_bound()}};
    if (cell.workload.beside) object["beside"] = name_of(*cell.workload.beside);
    if (row.best_router) object["ratio_to_best_router"] = over_router(row);
    if (row.best_plain) object["ratio_to_best_plain"] = over_plain(row);
    if (row.unmerged) object["ratio_to_unmerged"] = over_unmerged(row);
    cells.push_back(std::move(object));
  }
  return json::serialize(json::object{{"cells", std::move(cells)}});
}

}  // namespace batchproxy::bench
