// launcher/agent/node_gpus.cc - see node_gpus.h.
#include "launcher/agent/node_gpus.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "launcher/gpus/gpu_pool.h"
#include "launcher/plan/command_line.h"

namespace batchproxy {
namespace {

// By which schedulers say which devices of their makes a step has.
constexpr std::array kDeviceVariables{"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
                                      "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"};

// What choose_node_gpus() takes without asking the driver.
constexpr std::string_view kNameExactly =
    "give the engine a node that has GPUs, or set CUDA_VISIBLE_DEVICES there to exactly as many "
    "of them as it needs";

std::optional<std::string> value_of(const Environment& environment, const std::string& name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::nullopt : std::optional(it->second);
}

std::size_t items_of(std::string_view list) {
  if (list.empty()) return 0;
  return static_cast<std::size_t>(std::ranges::count(list, ',')) + 1;
}

}  // namespace

OrError<NodeGpus> choose_node_gpus(std::size_t count, const Environment& environment,
                                   const std::function<OrError<Gpus>()>& visible) {
  for (const char* name : kDeviceVariables) {
    const auto value = value_of(environment, name);
    if (value && items_of(*value) == count) return NodeGpus{*value};
  }
  if (count == 0) return NodeGpus{};
  auto gpus = visible();
  if (!gpus) return gpus.error();
  NodeGpus chosen;
  Gpus taken;
  for (const Gpu& gpu : *gpus) {
    if (taken.size() == count) break;
    auto lease = Lease::take(lease_name(gpu));
    if (!lease) continue;
    taken.push_back(gpu);
    chosen.leases.push_back(*std::move(lease));
  }
  if (taken.size() < count) {
    return LaunchError{fmt::format(
        "it needs {} GPUs, and of the {} of this node {} are free: start fewer engines, or name "
        "more nodes",
        count, gpus->size(), taken.size())};
  }
  chosen.devices = join_gpus(taken);
  return chosen;
}

OrError<Gpus> visible_gpus(const Environment& environment, const std::string& library) {
  auto pool = find_gpus(std::int64_t{0},
                        {value_of(environment, "CUDA_VISIBLE_DEVICES"),
                         value_of(environment, "NVIDIA_VISIBLE_DEVICES")},
                        library, kNameExactly);
  if (!pool) return pool.error();
  return std::move(pool->gpus);
}

}  // namespace batchproxy
