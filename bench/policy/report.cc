// bench/policy/report.cc - see report.h.
#include "bench/policy/report.h"

#include <algorithm>
#include <iterator>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "bench/policy/words.h"

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
    {"of sending all at once, in every situation", 0.98, is_any, over_pass_through},
    {"of sending all at once, shared passages, A100, 128 workers", 1.45, is_shared_a100_128,
     over_pass_through},
    {"of sending all at once, shared passages, A100, 512 workers", 1.60, is_shared_a100_512,
     over_pass_through},
    {"of the bound, shared passages, A100, 512 workers", 0.95, is_shared_a100_512, of_bound},
    {"of sending all at once, shared passages, H100, 512 workers", 1.50, is_shared_h100_512,
     over_pass_through},
    {"of the bound, shared passages, H100, 512 workers", 0.88, is_shared_h100_512, of_bound},
    {"of the best rule of other routers, shared passages", 0.95, shares, over_router},
    {"of the best rule of other routers, nothing shared", 0.96, shares_nothing, over_router},
    {"of the best plain router, one hot passage or slow engine", 0.95, has_plain, over_plain},
    {"of the best plain router, several slow engines", 0.90, has_several_slow, over_plain},
    {"of never merging, slow front end, short prompts", 1.50, is_front_end_bound, over_unmerged},
    {"of never merging, wherever else requests were merged", 0.98, merges_elsewhere, over_unmerged},
};

std::string speed_table(std::span<const Row> rows) {
  std::string text =
      "| situation | way | questions/s | p50 s | p99 s | prefix hits | prompts a call | of the "
      "bound |\n|---|---|---|---|---|---|---|---|\n";
  auto out = std::back_inserter(text);
  for (const Row& row : rows) {
    fmt::format_to(out, "| {} | {} | {:.1f} | {:.3f} | {:.3f} | {:.0f} % | {:.1f} | {:.0f} % |\n",
                   name_of(row.cell), name_of(row.policy), row.measured.throughput,
                   row.measured.p50, row.measured.p99, 100 * row.measured.hit_rate,
                   row.measured.prompts_per_call, 100 * row.fraction_of_bound());
  }
  return text;
}

std::string ratio_words(const std::optional<double>& other, double own) {
  return other ? fmt::format("{:.3f}", own / *other) : "";
}

std::string comparison_table(std::span<const Row> rows) {
  std::string text =
      "| situation | way | sending all at once | best rule of other routers | best plain router | "
      "never merging |\n|---|---|---|---|---|---|\n";
  for (const Row& row : rows) {
    const double own = row.measured.throughput;
    text +=
        fmt::format("| {} | {} | {:.3f} | {} | {} | {} |\n", name_of(row.cell), name_of(row.policy),
                    row.over_pass_through(), ratio_words(row.best_router, own),
                    ratio_words(row.best_plain, own), ratio_words(row.unmerged, own));
  }
  return text;
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

std::string to_text(std::span<const Row> rows) {
  return "Simulated engines in virtual time: no GPU, no network, the same figures on every run.\n\n"
         "# How fast is each way of sending, and could anything be faster?\n\n" +
         speed_table(rows) +
         "\n# How many times as many questions a second as with other ways?\n\n" +
         comparison_table(rows) + "\n# What do the words mean?\n\n" + legend_of(rows);
}

std::string best_topologies(std::span<const Row> rows) {
  std::string text;
  for (const Row& row : rows) {
    std::size_t rivals = 0;
    bool is_best = row.policy == Policy::kDefault;
    for (const Row& other : rows) {
      const bool is_rival = &other != &row && other.policy == Policy::kDefault &&
                            other.cell.world.workers == row.cell.world.workers &&
                            other.cell.world.gpu == row.cell.world.gpu;
      if (!is_rival) continue;
      ++rivals;
      is_best = is_best && other.measured.throughput <= row.measured.throughput;
    }
    if (!is_best || rivals == 0) continue;
    const WorldOptions& world = row.cell.world;
    text += fmt::format("- {} worker{} on {}: {} x TP{}, {:.1f} questions a second\n",
                        world.workers, world.workers == 1 ? "" : "s", card_name(world.gpu),
                        world.servers, world.tensor_parallel, row.measured.throughput);
  }
  return text.empty() ? "" : "\n# Which topology is best for these questions?\n\n" + text;
}

std::string to_text(std::span<const Promise> promises) {
  if (promises.empty()) return "";
  std::string text =
      "\n# Does batchproxy keep its promises?\n\n"
      "Each is a number of questions a second, as a multiple of something else's, that must be "
      "reached.\n\n"
      "| kept? | at least | least seen | in situations | where |\n|---|---|---|---|---|\n";
  for (const Promise& promise : promises) {
    text +=
        fmt::format("| {} | {:.2f} {} | {:.3f} | {} | {} |\n", promise.kept() ? "kept" : "BROKEN",
                    promise.floor, promise.text, promise.worst, promise.cells, promise.worst_cell);
  }
  return text;
}

std::string to_json(std::span<const Row> rows) {
  json::array cells;
  for (const Row& row : rows) {
    const Cell& cell = row.cell;
    json::object object{{"hardware", gpu_name(cell.world.gpu)},
                        {"shape", shape_of(cell)},
                        {"workload", cell.asked ? "yours" : name_of(cell.workload.kind)},
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
