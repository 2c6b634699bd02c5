// launcher/memory/gpu_choice.cc - groups grown from each GPU, and the best of them.
#include "launcher/memory/gpu_choice.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "launcher/memory/model/memory_size.h"

namespace batchproxy {
namespace {

using Members = std::vector<const PlanGpu*>;

bool are_linked(const PlanGpu& one, const PlanGpu& other) {
  return std::ranges::find(one.neighbours, other.index) != one.neighbours.end();
}

bool is_linked_with_all(const PlanGpu& gpu, const Members& members) {
  return std::ranges::all_of(members,
                             [&gpu](const PlanGpu* member) { return are_linked(gpu, *member); });
}

// The group that begins with `first` and takes, of what is left, those with the most free memory;
// `linked`: as long as there are any, those that NVLink connects with all members.
Members grown_from(const PlanGpu& first, const Members& by_free, std::size_t count, bool linked) {
  Members members{&first};
  for (const bool only_linked : {true, false}) {
    if (only_linked && !linked) continue;
    for (const PlanGpu* gpu : by_free) {
      if (members.size() == count) return members;
      if (std::ranges::find(members, gpu) != members.end()) continue;
      if (!only_linked || is_linked_with_all(*gpu, members)) members.push_back(gpu);
    }
  }
  return members;
}

bool all_linked(const Members& members) {
  return std::ranges::all_of(members, [&members](const PlanGpu* one) {
    return std::ranges::all_of(
        members, [one](const PlanGpu* other) { return one == other || are_linked(*one, *other); });
  });
}

std::int64_t least_free(const Members& members) {
  return (*std::ranges::min_element(members, {}, [](const PlanGpu* gpu) { return gpu->free; }))
      ->free;
}

std::int64_t all_free(const Members& members) {
  std::int64_t sum = 0;
  for (const PlanGpu* gpu : members) sum += gpu->free;
  return sum;
}

// More is better, in the order of the tuple.
auto merit(const Members& members, std::int64_t needed) {
  const std::int64_t least = least_free(members);
  const bool is_enough = least >= needed;
  return std::tuple(is_enough, is_enough && all_linked(members), least, all_free(members));
}

struct KnownGpu {
  std::string_view name;
  double gib;  // as CUDA tells it
};
constexpr std::array kKnownGpus{
    KnownGpu{"H100-80GB", 79.19},       KnownGpu{"H200-141GB", 139.81},
    KnownGpu{"H100-94GB", 93.11},       KnownGpu{"A100-80GB", 79.25},
    KnownGpu{"A100-40GB", 39.49},       KnownGpu{"B200-180GB", 178.35},
    KnownGpu{"L40S-48GB", 44.39},       KnownGpu{"A10G-24GB", 22.05},
    KnownGpu{"L4-24GB", 22.05},         KnownGpu{"T4-16GB", 14.56},
    KnownGpu{"V100-32GB", 31.73},       KnownGpu{"RTX3090-24GB", 23.57},
    KnownGpu{"RTX4090-24GB", 23.52},    KnownGpu{"RTX5090-32GB", 31.36},
    KnownGpu{"RTXPRO6000-96GB", 94.97},
};

// What is left of an 80 GB card whose name is not known.
constexpr double kToldOfNamed = 0.985;

// The bytes of "H100-80GB" or "24GiB"; 0 if it is neither.
std::int64_t total_of(std::string_view type) {
  const auto* const known = std::ranges::find(kKnownGpus, type, &KnownGpu::name);
  if (known != kKnownGpus.end()) return from_gib(known->gib);
  const std::size_t dash = type.rfind('-');
  const bool has_name = dash != std::string_view::npos && dash > 0;
  const std::string_view size = has_name ? type.substr(dash + 1) : type;
  if (has_name && size.ends_with("GB")) {
    const auto number = number_in<double>(size.substr(0, size.size() - 2));
    return number && *number > 0 && *number < 1e5 ? from_gib(*number * kToldOfNamed) : 0;
  }
  const std::int64_t bytes = parse_memory_size(size).value_or(0);
  return bytes >= kGiB ? bytes : 0;
}

}  // namespace

GpuGroup choose_gpus(const PlanGpus& gpus, std::size_t count, std::int64_t needed) {
  Members by_free;
  for (const PlanGpu& gpu : gpus) by_free.push_back(&gpu);
  std::ranges::sort(by_free, [](const PlanGpu* one, const PlanGpu* other) {
    return std::pair(-one->free, one->index) < std::pair(-other->free, other->index);
  });
  count = std::min(count, gpus.size());
  Members best;
  for (const PlanGpu* first : by_free) {
    for (const bool linked : {true, false}) {
      Members members = grown_from(*first, by_free, count, linked);
      if (best.empty() || merit(members, needed) > merit(best, needed)) best = std::move(members);
    }
  }
  GpuGroup group;
  if (best.empty()) return group;
  group.is_linked = all_linked(best);
  group.least = **std::ranges::min_element(best, {}, [](const PlanGpu* gpu) { return gpu->free; });
  for (const PlanGpu* gpu : best) group.indices.push_back(gpu->index);
  std::ranges::sort(group.indices);
  return group;
}

PlanGpus arrange_gpus(const PlanGpus& gpus, const std::vector<std::size_t>& sizes) {
  PlanGpus left = gpus;
  const std::size_t wanted = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
  const bool takes_all = wanted >= gpus.size();
  for (PlanGpu& gpu : left) gpu.free = takes_all ? 0 : gpu.free - gpu.free % kGiB;
  PlanGpus arranged;
  const auto take = [&](int index) {
    const auto same = [index](const PlanGpu& gpu) { return gpu.index == index; };
    arranged.push_back(*std::ranges::find_if(gpus, same));
    std::erase_if(left, same);
  };
  for (const std::size_t size : sizes) {
    if (size == 0 || size > left.size()) continue;
    for (const int index : choose_gpus(left, size, 0).indices) take(index);
  }
  while (!left.empty()) take(left.front().index);
  return arranged;
}

Planned<PlanGpus> assumed_gpus(std::string_view text) {
  constexpr std::int64_t kMost = 1024;
  std::int64_t count = 1;
  std::string_view type = text;
  const std::size_t times = text.find('x');
  if (times != std::string_view::npos) {
    if (const auto number = number_in<std::int64_t>(text.substr(0, times))) {
      count = *number;
      type = text.substr(times + 1);
    }
  }
  const std::int64_t total = total_of(type);
  if (count < 1 || count > kMost || total == 0) {
    return NotPlanned{fmt::format(
        "--assume-gpus {}: expected a count and a size, such as 8xH100-80GB or 2x24GiB", text)};
  }
  PlanGpus gpus;
  for (int index = 0; index < static_cast<int>(count); ++index) {
    gpus.push_back({index,
                    type.find('-') == std::string_view::npos ? "" : std::string(type),
                    total,
                    total,
                    {}});
  }
  return gpus;
}

}  // namespace batchproxy
