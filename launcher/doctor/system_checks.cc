// launcher/doctor/system_checks.cc - the machine around the GPUs: memory, disk, limits, ports.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "configs/schema/host_port.h"
#include "configs/text/number.h"
#include "configs/text/trim.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/model_folder.h"

namespace batchproxy {
namespace {

constexpr std::uint64_t kMib = 1024 * 1024;
constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / kGib);
}

// "MemAvailable:   12345 kB" in bytes.
std::uint64_t available_memory(const Machine& machine) {
  const std::string text = machine.read("/proc/meminfo").value_or("");
  constexpr std::string_view kName = "MemAvailable:";
  const std::size_t at = text.find(kName);
  if (at == std::string::npos) return 0;
  std::string_view rest = trim(std::string_view(text).substr(at + kName.size()));
  rest = rest.substr(0, rest.find(' '));
  return number_in<std::uint64_t>(rest).value_or(0) * 1024;
}

// What a container may use; 0 when nothing limits it.
std::uint64_t memory_limit(const Machine& machine) {
  std::string text = machine.read("/sys/fs/cgroup/memory.max").value_or("");
  return number_in<std::uint64_t>(trim(text, " \n")).value_or(0);
}

std::string state_folder(const Machine& machine) {
  const std::string state = machine.variable("XDG_STATE_HOME");
  return (state.empty() ? machine.variable("HOME") + "/.local/state" : state) + "/batchproxy";
}

FindingList disk_of(const Subject& subject, const std::string& folder, const std::string& purpose) {
  constexpr std::uint64_t kLittle = 1024 * kMib;
  const auto space = subject.machine.space_for(folder);
  if (!space) return {};
  const std::string text = purpose + ": " + gib(space->free) + " free at " + folder;
  if (space->free >= kLittle) return {ok(text)};
  return {warning(text, "make room there, or move it to another disk")};
}

void append(FindingList& list, FindingList more) {
  list.insert(list.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

FindingList port_of(const Subject& subject, const Key<std::string>& key) {
  const auto address = parse_host_port(*key);
  if (!address || address->port == 0) return {};
  const std::string text = fmt::format("{} {}", key.name, *key);
  if (subject.machine.is_port_free(address->port)) return {ok(text + " is free")};
  const std::string holder =
      subject.machine.port_holder ? subject.machine.port_holder(address->port) : "";
  return {failure(
      text + " is taken" + (holder.empty() ? "" : ": " + holder + " listens there"),
      fmt::format("end the program that has it, or choose another by --{} HOST:PORT", key.name))};
}

}  // namespace

FindingList check_compiler(const Subject& subject) {
  if (!subject.uses_gpus()) return {};
  const Machine& machine = subject.machine;
  const std::string home = machine.variable("CUDA_HOME");
  if (!home.empty() && !machine.exists(home)) {
    return {failure(
        "CUDA_HOME is '" + home + "', and there is no such folder",
        home.starts_with(':') ? "remove the colon it begins with" : "correct it, or unset it")};
  }
  for (const std::string& folder : {home, std::string("/usr/local/cuda")}) {
    if (!folder.empty() && machine.exists(folder + "/bin/nvcc")) {
      return {ok(folder + "/bin/nvcc")};
    }
  }
  if (const std::string found = machine.find_program("nvcc"); !found.empty()) return {ok(found)};
  return {warning("no nvcc: kernels that come without a binary cannot be compiled at start",
                  "install the CUDA toolkit and set CUDA_HOME, or set "
                  "VLLM_USE_FLASHINFER_SAMPLER=0")};
}

FindingList check_shared_memory(const Subject& subject) {
  constexpr std::uint64_t kPerGroup = 160 * kMib;
  if (!subject.starts_engines()) return {};
  const auto space = subject.machine.space_for("/dev/shm");
  if (!space) return {};
  std::uint64_t groups = 0;
  for (const EngineWish& wish : subject.wishes) {
    if (gpus_of(wish, subject.options) > 1) ++groups;
  }
  const std::string text =
      fmt::format("{} MiB free of {}", space->free / kMib, space->total / kMib);
  const std::uint64_t needed = groups * kPerGroup;
  const std::string fix = "give the container more: --shm-size=8g, or --ipc=host";
  if (space->free < needed) {
    return {failure(fmt::format("{}; engines over several GPUs need {} MiB", text, needed / kMib),
                    fix)};
  }
  if (space->total < kPerGroup) {
    return {warning(text + ": too little for an engine over several GPUs", fix)};
  }
  return {ok(text)};
}

FindingList check_host_memory(const Subject& subject) {
  if (!subject.starts_engines()) return {};
  std::uint64_t memory = available_memory(subject.machine);
  const std::uint64_t limit = memory_limit(subject.machine);
  if (limit > 0) memory = std::min(memory, limit);
  if (memory == 0) return {};
  const std::uint64_t checkpoint = checkpoint_size(subject.machine, subject.model_folder);
  if (checkpoint == 0) return {ok(gib(memory) + " available")};
  const std::string text = gib(memory) + " available, the checkpoint has " + gib(checkpoint);
  if (memory >= checkpoint) return {ok(text)};
  return {warning(text + ": loading reads it from disk again and again, and may be killed",
                  "give the machine or the container more memory, or start engines one by one "
                  "(batchproxy.launcher.stagger)")};
}

FindingList check_disk(const Subject& subject) {
  FindingList list;
  if (subject.starts_engines()) {
    append(list,
           disk_of(subject, subject.machine.absolute(*subject.options.proxy.launcher.log_directory),
                   "logs"));
  }
  append(list, disk_of(subject, state_folder(subject.machine), "state"));
  return list;
}

FindingList check_descriptors(const Subject& subject) {
  constexpr std::uint64_t kFew = 4096;
  if (!subject.machine.descriptors) return {};
  const std::uint64_t limit = subject.machine.descriptors().hard;  // we raise ours to it
  const std::string text = fmt::format("up to {} open files", limit);
  if (limit >= kFew) return {ok(text)};
  return {warning(fmt::format("{}: clients take one each, and their requests another", text),
                  "raise the hard limit: `ulimit -Hn 65536`, or LimitNOFILE= in systemd")};
}

FindingList check_ports(const Subject& subject) {
  if (!subject.machine.is_port_free) return {};
  FindingList list = port_of(subject, subject.options.proxy.listen);
  append(list, port_of(subject, subject.options.proxy.admin));
  return list;
}

}  // namespace batchproxy
