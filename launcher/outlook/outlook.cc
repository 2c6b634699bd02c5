// launcher/outlook/outlook.cc - the table of placements, and what engines need.
#include "launcher/outlook/outlook.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "configs/engine_wish.h"
#include "launcher/outlook/agents_outlook.h"
#include "launcher/outlook/ray_outlook.h"
#include "launcher/outlook/room.h"
#include "launcher/outlook/slurm_outlook.h"
#include "launcher/placement/exec_command.h"
#include "launcher/placement/placements.h"

namespace batchproxy {
namespace {

using Needs = std::vector<std::size_t>;  // GPUs of each engine

// In the order in which they get their nodes: "n1 (4), n2 (4)".
std::string shares_of(const std::vector<std::string>& nodes, std::size_t engines) {
  std::map<std::string, std::size_t> count;
  AgentCall call;
  call.engines = static_cast<int>(engines);
  for (; call.index < call.engines; ++call.index) ++count[node_of(call, nodes)];
  std::vector<std::string> shares;
  for (const std::string& node : nodes) {
    const auto found = count.extract(node);
    shares.push_back(fmt::format("{} ({})", node, found.empty() ? 0 : found.mapped()));
  }
  return some_of(shares);
}

std::vector<Finding> exec_outlook(const Options& options, const Machine& machine,
                                  const Needs& needs) {
  const std::string& carrier = options.proxy.launcher.exec_command->front();
  const std::vector<std::string>& nodes = *options.proxy.launcher.nodes;
  const std::string program = machine.find_program(carrier);
  const std::string runs = program.empty() ? carrier : program;
  if (nodes.empty()) return {ok(runs + " chooses the nodes: exec_command names none")};
  return {ok(fmt::format("{} brings engines to {}", runs, shares_of(nodes, needs.size())))};
}

struct Row {
  std::string_view placement;
  // What there is to say where nothing is lacking at first sight.
  std::vector<Finding> (*look)(const Options& options, const Machine& machine, const Needs& needs);
  // Of that only what keeps engines from starting.
  std::optional<Finding> (*obstacle)(const Options& options, const Machine& machine,
                                     const AnswerTime& time);
};
constexpr std::array kRows{
    Row{"exec", &exec_outlook,
        [](const Options& /*options*/, const Machine& /*machine*/, const AnswerTime& /*time*/) {
          return std::optional<Finding>();
        }},
    Row{"slurm",
        [](const Options& /*options*/, const Machine& machine, const Needs& needs) {
          return slurm_outlook(machine, needs);
        },
        [](const Options& /*options*/, const Machine& machine, const AnswerTime& /*time*/) {
          return slurm_obstacle(machine);
        }},
    Row{"ray", &ray_outlook, &ray_obstacle},
};
static_assert(kRows.size() + 1 == kPlacementWords.size());
static_assert(std::all_of(kPlacementWords.begin() + 1, kPlacementWords.end(),
                          [](std::string_view word) {
                            return std::ranges::count(kRows, word, &Row::placement) == 1;
                          }));

const Row* row_of(const Options& options) {
  const auto row = std::ranges::find(kRows, std::string_view(*options.proxy.launcher.placement),
                                     &Row::placement);
  return row == kRows.end() ? nullptr : &*row;
}

Needs needs_of(const Options& given) {
  Options options = given;
  const std::size_t gpus = told_gpus(options).value_or(0);
  settle_profile(options, gpus);
  Needs needs;
  for (const EngineWish& wish : wished_engines(options, gpus)) {
    needs.push_back(gpus_of(wish, options));
  }
  return needs;
}

}  // namespace

Outlook look_out(const Options& options, const Machine& machine) {
  const PlacementRow* placement = placement_row(options);
  const Row* row = row_of(options);
  if (placement == nullptr || row == nullptr) return {};
  Outlook outlook;
  for (const std::string& lack : placement->lacks(options, machine.environment)) {
    outlook.placement.push_back(hopeless(lack, ""));
  }
  if (outlook.placement.empty()) outlook.placement = row->look(options, machine, needs_of(options));
  outlook.agents = agents_outlook(options, machine);
  return outlook;
}

std::vector<Finding> obstacles(const Options& options, const Machine& machine,
                               const AnswerTime& time) {
  const PlacementRow* placement = placement_row(options);
  const Row* row = row_of(options);
  if (placement == nullptr || row == nullptr) return {};
  std::vector<Finding> found = agents_outlook(options, machine);
  std::erase_if(found, [](const Finding& one) { return one.verdict == CheckVerdict::kOk; });
  if (!placement->lacks(options, machine.environment).empty()) return found;
  if (auto obstacle = row->obstacle(options, machine, time)) {
    found.insert(found.begin(), *std::move(obstacle));
  }
  return found;
}

}  // namespace batchproxy
