// launcher/doctor/gpu_checks.cc - are they there, are they free, and do they reach each other?
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <fmt/format.h>

#include "configs/vllm/arguments.h"
#include "configs/yaml/values.h"
#include "launcher/doctor/checks.h"

namespace batchproxy {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
constexpr double kShareOfVllm = 0.92;  // its own default, of 0.33

double gib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / kGib;
}

double share_of(const Subject& subject) {
  if (subject.wishes.empty()) return kShareOfVllm;
  const Argument* share = find_argument(subject.wishes.front().arguments, "gpu_memory_utilization");
  const auto* text = share ? std::get_if<std::string>(&share->value) : nullptr;
  return text ? parse_number(*text).value_or(kShareOfVllm) : kShareOfVllm;
}

// "python3 (pid 4711) 59.7 GiB, another process ..."
std::string holders_text(const GpuState& gpu) {
  std::string text;
  for (const GpuProcess& process : gpu.processes) {
    text += fmt::format("{}{} (pid {}){}", text.empty() ? "" : ", ",
                        process.name.empty() ? "a process" : process.name, process.pid,
                        process.used ? fmt::format(" {:.1f} GiB", gib(*process.used)) : "");
  }
  return text.empty() ? "no process that can be seen from here" : text;
}

const GpuState* state_of(const Subject& subject, const Gpu& gpu) {
  const auto found = std::ranges::find(subject.inventory->gpus, gpu.index, &GpuState::index);
  return found == subject.inventory->gpus.end() ? nullptr : &*found;
}

GpuConnection connection_of(const Inventory& inventory, int from, int to) {
  const auto at = [&](int index) {
    return static_cast<std::size_t>(std::ranges::find(inventory.gpus, index, &GpuState::index) -
                                    inventory.gpus.begin());
  };
  if (at(from) >= inventory.topology.size() || at(to) >= inventory.topology.size()) return {};
  return inventory.topology[at(from)][at(to)];
}

// The first pair of a group that has no NVLink, as "0 and 4 (SYS)"; empty when all have one.
std::string unlinked_pair(const Inventory& inventory, const Gpus& group) {
  for (const Gpu& from : group) {
    for (const Gpu& to : group) {
      if (from.index < 0 || to.index <= from.index) continue;
      const GpuConnection connection = connection_of(inventory, from.index, to.index);
      if (connection.path == GpuPath::kNvlink) continue;
      return fmt::format("{} and {} ({})", from.index, to.index, to_string(connection));
    }
  }
  return "";
}

std::string unlinked_pair(const Subject& subject) {
  for (const Gpus& group : subject.groups()) {
    if (std::string pair = unlinked_pair(*subject.inventory, group); !pair.empty()) return pair;
  }
  return "";
}

bool has_groups(const Subject& subject) {
  return subject.inventory &&
         (subject.configured ? subject.largest_group() > 1 : subject.ours.gpus.size() > 1);
}

std::string names_text(const Inventory& inventory) {
  std::vector<std::string> names;
  for (const GpuState& gpu : inventory.gpus) {
    if (!gpu.name.empty() && std::ranges::count(names, gpu.name) == 0) names.push_back(gpu.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// What is held of a GPU, if what is free is less than an engine will ask for.
std::optional<Finding> too_full(const Subject& subject, const Gpu& gpu, double share) {
  const GpuState* state = state_of(subject, gpu);
  if (state == nullptr || !state->problem.empty()) return std::nullopt;
  const double needed = share * gib(state->memory.total);
  if (gib(state->memory.free) >= needed) return std::nullopt;
  const std::string text = fmt::format(
      "GPU {}: {:.1f} of {:.1f} GiB are free, and gpu_memory_utilization {} needs {:.1f}; held by "
      "{}",
      state->index, gib(state->memory.free), gib(state->memory.total), share, needed,
      holders_text(*state));
  const std::string fix = "end that process, choose other GPUs by --gpus, or lower --gpu-memory";
  return subject.configured ? failure(text, fix) : warning(text, fix);
}

}  // namespace

FindingList check_gpus(const Subject& subject) {
  if (subject.needs_gpus_elsewhere()) {
    return {
        ok("those of other nodes, which cannot be seen from here: `batchproxy doctor` on a node "
           "looks at its own (srun --overlap batchproxy doctor, ssh NODE batchproxy doctor)")};
  }
  if (!subject.uses_gpus()) return {ok("none needed")};
  if (!subject.inventory) {
    return {failure(subject.inventory.error().text,
                    "install the NVIDIA driver, give the container its GPUs (--gpus all), or try "
                    "--profile cpu or --engine sim")};
  }
  const Inventory& inventory = *subject.inventory;
  FindingList list;
  for (const GpuState& gpu : inventory.gpus) {
    if (gpu.problem.empty()) continue;
    list.push_back(failure(gpu.problem, "leave it out: name the others in --gpus, or reboot"));
  }
  if (!subject.ours.problem.empty()) {
    list.push_back(failure(subject.ours.problem, "correct the variable, or unset it"));
  }
  const std::size_t count = subject.ours.gpus.size();
  if (count == 0 && subject.ours.problem.empty()) {
    const std::string limit = subject.ours.limited_by.empty() ? "" : subject.ours.limited_by + ": ";
    list.push_back(failure(limit + "no GPU for engines", "see `nvidia-smi -L`"));
  }
  const std::string shortage =
      subject.configured ? gpu_shortage(subject.wishes, subject.options, count) : "";
  if (!shortage.empty()) list.push_back(failure(shortage, "see `batchproxy check`"));
  if (list.empty()) {
    list.push_back(ok(fmt::format("{} of {}: {}, driver {}", count, inventory.gpus.size(),
                                  names_text(inventory), inventory.driver)));
  }
  return list;
}

FindingList check_gpu_memory(const Subject& subject) {
  if (!subject.uses_gpus() || !subject.inventory) return {};
  const double share = share_of(subject);
  FindingList list;
  for (const Gpus& group : subject.groups()) {
    for (const Gpu& gpu : group) {
      if (auto finding = too_full(subject, gpu, share)) list.push_back(*std::move(finding));
    }
  }
  if (list.empty()) list.push_back(ok("free"));
  return list;
}

FindingList check_driver(const Subject& subject) {
  if (!subject.uses_gpus() || !subject.inventory || !subject.vllm || !subject.vllm->cuda) return {};
  const Version built = *subject.vllm->cuda;
  const int driver = subject.inventory->cuda;
  if (driver == 0) return {};
  const std::string text = fmt::format(
      "driver {} runs CUDA up to {}; PyTorch {} is built for {}.{}", subject.inventory->driver,
      cuda_version_text(driver), subject.vllm->torch, built.major, built.minor);
  if (driver / 1000 >= built.major) return {ok(text)};  // within one major number all go together
  const std::string needed = built.major >= 13 ? "580" : built.major >= 12 ? "525" : "450";
  return {failure(text, "install a driver from " + needed + " on, or a vLLM built for CUDA " +
                            std::to_string(driver / 1000))};
}

FindingList check_nvlink(const Subject& subject) {
  if (!subject.uses_gpus() || !has_groups(subject)) return {};
  const std::string pair = unlinked_pair(subject);
  if (pair.empty()) return {ok("all GPUs of a group are linked")};
  return {warning("GPUs " + pair + " have no NVLink: an engine over both talks over PCIe",
                  "have groups of linked GPUs by the order of CUDA_VISIBLE_DEVICES (`batchproxy "
                  "gpus` shows the matrix), or more engines of fewer GPUs")};
}

// What ACS does cannot be read without being root; where the IOMMU translates, P2P is at risk
// anyway.
FindingList check_peer_to_peer(const Subject& subject) {
  if (!subject.uses_gpus() || !has_groups(subject) || unlinked_pair(subject).empty()) return {};
  const std::string words = " " + subject.machine.read("/proc/cmdline").value_or("") + " ";
  const bool passes =
      words.find("iommu=pt") != std::string::npos || words.find("iommu=off") != std::string::npos;
  const bool is_on = !subject.machine.names_in("/sys/kernel/iommu_groups").empty();
  if (!is_on || passes) return {ok("no IOMMU is in the way")};
  return {warning(
      "the IOMMU is on, and GPUs without NVLink may then hang at their first exchange",
      "boot with iommu=pt and ACS off in the BIOS (`lspci -vvv | grep ACSCtl` as root), or set "
      "NCCL_P2P_DISABLE=1 and disable_custom_all_reduce: true")};
}

}  // namespace batchproxy
