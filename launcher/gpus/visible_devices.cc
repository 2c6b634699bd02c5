// launcher/gpus/visible_devices.cc - see visible_devices.h.
#include "launcher/gpus/visible_devices.h"

#include <algorithm>
#include <utility>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

bool is_mig(const Gpu& gpu) {
  return gpu.uuid.starts_with("MIG-");
}

OrError<Gpu> parse_device(std::string_view item, std::string_view source) {
  if (const auto index = number_in<int>(item); index && *index >= -1) return Gpu(*index);
  if (item.starts_with("GPU-") || item.starts_with("MIG-")) return Gpu::by_uuid(std::string(item));
  if (item == "NoDevFiles") {
    return LaunchError{std::string(source) +
                       " is NoDevFiles: the batch system has given this job no GPUs; ask it for "
                       "some (SLURM: --gres=gpu:N), or try --engine sim"};
  }
  return LaunchError{std::string(source) + " has '" + std::string(item) +
                     "': expected GPU indices such as 0,1,2,3"};
}

// All full UUIDs that begin as `gpu` says, of GPUs or of MIG instances.
Gpus candidates(const Gpu& gpu, const Inventory& inventory) {
  Gpus found;
  for (const GpuState& state : inventory.gpus) {
    if (!is_mig(gpu)) {
      if (state.uuid.starts_with(gpu.uuid)) found.emplace_back(state.index);
      continue;
    }
    for (const MigInstance& mig : state.mig) {
      if (mig.uuid.starts_with(gpu.uuid)) found.push_back(Gpu::by_uuid(mig.uuid));
    }
  }
  return found;
}

LaunchError not_there(const Gpu& gpu, const Inventory& inventory, std::string_view source) {
  const std::size_t count = inventory.gpus.size();
  std::string text = std::string(source) + " names GPU " + gpu.name() + ", but the driver has ";
  if (!gpu.uuid.empty()) {
    text += "none of that id (`batchproxy gpus` lists them)";
  } else {
    text += count == 0 ? "none" : "only 0 to " + std::to_string(count - 1);
  }
  return {text};
}

OrError<Gpu> known_device(const Gpu& gpu, const Inventory& inventory, std::string_view source) {
  if (gpu.uuid.empty()) {
    const auto count = static_cast<int>(inventory.gpus.size());
    if (gpu.index < count) return gpu;
    return not_there(gpu, inventory, source);
  }
  const Gpus found = candidates(gpu, inventory);
  if (found.empty()) return not_there(gpu, inventory, source);
  if (found.size() == 1) return found.front();
  return LaunchError{std::string(source) + " has '" + gpu.uuid + "', with which the ids of " +
                     std::to_string(found.size()) + " GPUs begin: write more of it"};
}

LaunchError named_twice(const Gpu& gpu, std::string_view source) {
  return {std::string(source) + " names GPU " + gpu.name() + " twice"};
}

}  // namespace

VisibleVariables visible_variables(const Environment& environment) {
  const auto value = [&](const char* name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end()) return std::nullopt;
    return found->second;
  };
  return {value("CUDA_VISIBLE_DEVICES"), value("NVIDIA_VISIBLE_DEVICES")};
}

OrError<Gpus> parse_visible_devices(const std::string& value, std::string_view source) {
  Gpus devices;
  std::string_view rest = value;
  while (!trim(rest).empty()) {
    const auto comma = rest.find(',');
    const auto device = parse_device(trim(rest.substr(0, comma)), source);
    if (!device) return device.error();
    if (*device == Gpu(-1)) break;  // as in CUDA: what follows an invalid index is invisible
    if (std::ranges::count(devices, *device) > 0) return named_twice(*device, source);
    devices.push_back(*device);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return devices;
}

OrError<Gpus> known_devices(const Gpus& listed, const Inventory& inventory,
                            std::string_view source) {
  Gpus known;
  for (const Gpu& gpu : listed) {
    auto device = known_device(gpu, inventory, source);
    if (!device) return device.error();
    if (std::ranges::count(known, *device) > 0) return named_twice(gpu, source);
    known.push_back(*std::move(device));
  }
  return known;
}

OrError<std::optional<Gpus>> nvidia_visible_devices(const std::string& value, int count) {
  constexpr std::string_view kName = "NVIDIA_VISIBLE_DEVICES";
  const std::string_view word = trim(value);
  if (word.empty() || word == "all") return std::optional<Gpus>();
  if (word == "none" || word == "void") return std::optional(Gpus());
  auto listed = parse_visible_devices(value, kName);
  if (!listed) return std::optional<Gpus>();  // "0:0" and other forms of the runtime's own
  const bool by_uuid = std::ranges::any_of(*listed, [](const Gpu& gpu) { return gpu.index < 0; });
  const bool is_renumbered = !by_uuid && static_cast<int>(listed->size()) >= count;
  if (is_renumbered) return std::optional<Gpus>();
  return std::optional(*std::move(listed));
}

Gpus usable_gpus(const Inventory& inventory) {
  Gpus gpus;
  for (const GpuState& gpu : inventory.gpus) {
    if (!gpu.problem.empty()) continue;
    if (!gpu.mig_enabled) gpus.emplace_back(gpu.index);
    for (const MigInstance& mig : gpu.mig) gpus.push_back(Gpu::by_uuid(mig.uuid));
  }
  return gpus;
}

OurGpus our_gpus(const Inventory& inventory, const VisibleVariables& variables) {
  if (variables.cuda) {
    OurGpus ours{{}, "CUDA_VISIBLE_DEVICES=" + *variables.cuda};
    const auto listed = parse_visible_devices(*variables.cuda);
    const auto known = listed ? known_devices(*listed, inventory) : listed;
    if (known) {
      ours.gpus = *known;
    } else {
      ours.problem = known.error().text;
    }
    return ours;
  }
  if (!variables.nvidia) return {usable_gpus(inventory)};
  const auto limited =
      nvidia_visible_devices(*variables.nvidia, static_cast<int>(inventory.gpus.size()));
  if (!limited || !*limited) return {usable_gpus(inventory)};
  OurGpus ours{{}, "NVIDIA_VISIBLE_DEVICES=" + *variables.nvidia};
  const auto known = known_devices(**limited, inventory, "NVIDIA_VISIBLE_DEVICES");
  if (known) {
    ours.gpus = *known;
  } else {
    ours.problem = known.error().text;
  }
  return ours;
}

}  // namespace batchproxy
