// bench/policy/command.cc - see command.h.
#include "bench/policy/command.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <thread>

#include <CLI/CLI.hpp>

#include "bench/policy/report.h"

namespace batchproxy::bench {

namespace {

template <class Value, class Wanted>
bool passes(const Value& value, const std::vector<Wanted>& wanted) {
  return wanted.empty() || std::ranges::find(wanted, value) != wanted.end();
}

bool is_wanted(const Cell& cell, const PolicyCommand& command) {
  return passes(gpu_name(cell.world.gpu), command.hardware) &&
         passes(shape_of(cell), command.shapes) &&
         passes(name_of(cell.workload.kind), command.workloads) &&
         passes(cell.workload.sharing, command.sharing) &&
         passes(cell.world.workers, command.workers);
}

std::vector<Policy> wanted_policies(const std::vector<std::string>& names) {
  std::vector<Policy> wanted;
  for (const Policy policy : kAllPolicies) {
    if (passes(std::string_view("all"), names) || passes(name_of(policy), names)) {
      wanted.push_back(policy);
    }
  }
  return wanted;
}

}  // namespace

CLI::App* add_policy_command(CLI::App& app, PolicyCommand& command) {
  auto* policy = app.add_subcommand(
      "policy", "Compare scheduling policies on simulated engines, in virtual time");
  policy->add_option("--grid", command.grid, "Which situations")
      ->check(CLI::IsMember({"default", "small"}))
      ->capture_default_str();
  std::vector<std::string> names{"all"};
  for (const Policy each : kAllPolicies) names.emplace_back(name_of(each));
  policy->add_option("--policy", command.policies, "What to run in them, or all")
      ->check(CLI::IsMember(names))
      ->delimiter(',');
  policy->add_option("--hardware", command.hardware, "Only this")
      ->check(CLI::IsMember({"a100", "h100"}))
      ->delimiter(',');
  policy->add_option("--shape", command.shapes, "Only this")
      ->check(CLI::IsMember({"1xTP8", "4xTP2", "8xTP1"}))
      ->delimiter(',');
  policy->add_option("--workload", command.workloads, "Only this")
      ->check(CLI::IsMember({"mcqa", "mcqa1", "gen", "mix", "tiny", "long"}))
      ->delimiter(',');
  policy->add_option("--sharing", command.sharing, "Only so many requests per passage")
      ->delimiter(',');
  policy->add_option("--workers", command.workers, "Only so many workers")->delimiter(',');
  policy->add_option("--seed", command.seed, "Other seeds make other requests of the same kinds")
      ->capture_default_str();
  policy->add_option("--json", command.json, "Write the figures to this file")->type_name("FILE");
  policy->add_option("--threads", command.threads, "Cells at a time (default: one per core)");
  policy->footer(
      "Examples:\n"
      "  batchproxy-bench policy --grid small --policy all\n"
      "  batchproxy-bench policy --hardware h100 --workload mcqa --json figures.json");
  return policy;
}

int run_policy_command(const PolicyCommand& command) {
  std::vector<Cell> cells = command.grid == "small" ? small_grid() : default_grid();
  std::erase_if(cells, [&](const Cell& cell) { return !is_wanted(cell, command); });
  if (cells.empty()) throw std::runtime_error("no cell of the grid passes these filters");
  for (Cell& cell : cells) cell.workload.seed = command.seed;
  const unsigned threads =
      command.threads != 0 ? command.threads : std::max(1U, std::thread::hardware_concurrency());
  const std::vector<Row> rows = run_grid(cells, wanted_policies(command.policies), threads);
  const std::vector<Promise> promises = check_promises(rows);
  std::cout << to_table(rows) << '\n' << to_text(promises);
  if (!command.json.empty()) {
    std::ofstream out(command.json);
    out << to_json(rows) << '\n';
    if (!out) throw std::runtime_error("cannot write " + command.json);
  }
  return std::ranges::all_of(promises, &Promise::kept) ? 0 : 1;
}

}  // namespace batchproxy::bench
