// launcher/gpus/gpu_pool.cc - see gpu_pool.h.
#include "launcher/gpus/gpu_pool.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/gpus/inventory_reader.h"
#include "launcher/gpus/visible_devices.h"

namespace batchproxy {
namespace {

constexpr std::string_view kKey = "batchproxy.launcher.gpus";

Gpus first_gpus(std::int64_t count) {
  Gpus gpus(static_cast<std::size_t>(count));
  std::iota(gpus.begin(), gpus.end(), 0);
  return gpus;
}

// The list by indices. Without a driver to ask, or when there is nothing to ask it, as it is.
OrError<Gpus> by_index(Gpus listed, std::string_view source, const std::string& library) {
  const auto has_uuid = [](const Gpu& gpu) { return !gpu.uuid.empty(); };
  if (std::ranges::none_of(listed, has_uuid)) return listed;
  const auto inventory = read_inventory({}, library);
  if (!inventory) return listed;
  return known_devices(listed, *inventory, source);
}

OrError<Gpus> parsed(const std::string& value, std::string_view source,
                     const std::string& library) {
  auto listed = parse_visible_devices(value, source);
  if (!listed) return listed.error();
  return by_index(*std::move(listed), source, library);
}

LaunchError beyond(const Gpu& gpu, std::size_t count) {
  return {"CUDA_VISIBLE_DEVICES names GPU " + gpu.name() + ", but the driver has " +
          (count == 0 ? "none" : "only 0 to " + std::to_string(count - 1))};
}

GpuPool usable(const Inventory& inventory) {
  GpuPool pool{usable_gpus(inventory)};
  for (const GpuState& gpu : inventory.gpus) {
    if (!gpu.problem.empty()) pool.remarks.push_back(gpu.problem + "; no engine gets it");
  }
  return pool;
}

OrError<GpuPool> all_of_driver(const std::optional<Gpus>& visible,
                               const std::optional<std::string>& nvidia, const std::string& library,
                               std::string_view without_driver) {
  const auto inventory = read_inventory({}, library);
  if (!inventory) {
    return LaunchError{inventory.error().text + "; " + std::string(without_driver)};
  }
  const std::size_t count = inventory->gpus.size();
  if (visible) {
    const auto missing = std::ranges::find_if(
        *visible, [&](const Gpu& gpu) { return gpu.index >= static_cast<int>(count); });
    if (missing != visible->end()) return beyond(*missing, count);
    return GpuPool{*visible};
  }
  auto limited = nvidia ? nvidia_visible_devices(*nvidia, static_cast<int>(count))
                        : OrError<std::optional<Gpus>>(std::optional<Gpus>());
  if (!limited) return limited.error();
  if (!*limited) return usable(*inventory);
  auto known = known_devices(**limited, *inventory, "NVIDIA_VISIBLE_DEVICES");
  if (!known) return known.error();
  return GpuPool{*std::move(known)};
}

OrError<Gpus> some(std::int64_t asked, const std::optional<Gpus>& visible,
                   const std::string& cuda) {
  Gpus pool = visible ? *visible : first_gpus(asked);
  if (pool.size() < static_cast<std::size_t>(asked)) {
    return LaunchError{std::string(kKey) + " is " + std::to_string(asked) +
                       ", but CUDA_VISIBLE_DEVICES=" + cuda + " allows only " +
                       std::to_string(pool.size()) + ": unset it or lower launcher.gpus"};
  }
  pool.resize(static_cast<std::size_t>(asked));
  return pool;
}

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return text;
}

OrError<Gpus> these(const std::vector<std::string>& items, const std::optional<Gpus>& visible,
                    const std::string& cuda, const std::string& library) {
  auto listed = parsed(joined(items), kKey, library);
  if (!listed || !visible) return listed;
  const auto hidden = std::ranges::find_if(
      *listed, [&](const Gpu& gpu) { return std::ranges::count(*visible, gpu) == 0; });
  if (hidden == listed->end()) return listed;
  return LaunchError{std::string(kKey) + " names GPU " + hidden->name() +
                     ", but CUDA_VISIBLE_DEVICES=" + cuda + " does not allow it"};
}

}  // namespace

OrError<GpuPool> find_gpus(const GpuChoice& asked, const VisibleVariables& variables,
                           const std::string& library, std::string_view without_driver) {
  std::optional<Gpus> visible;
  const std::string cuda = variables.cuda.value_or("");
  if (variables.cuda) {
    auto listed = parsed(cuda, "CUDA_VISIBLE_DEVICES", library);
    if (!listed) return listed.error();
    if (listed->empty()) return GpuPool{};
    visible = *std::move(listed);
  }
  if (asked == GpuChoice(std::int64_t{0})) {
    return all_of_driver(visible, variables.nvidia, library, without_driver);
  }
  const auto* items = std::get_if<std::vector<std::string>>(&asked);
  auto chosen = items != nullptr ? these(*items, visible, cuda, library)
                                 : some(std::get<std::int64_t>(asked), visible, cuda);
  if (!chosen) return chosen.error();
  return GpuPool{*std::move(chosen)};
}

}  // namespace batchproxy
