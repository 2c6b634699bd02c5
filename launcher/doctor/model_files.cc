// launcher/doctor/model_files.cc - see model_files.h.
#include "launcher/doctor/model_files.h"

#include <algorithm>
#include <array>

#include "configs/text/trim.h"

namespace batchproxy {
namespace {

constexpr std::array<std::string_view, 5> kWeights{".safetensors", ".bin", ".pt", ".pth", ".gguf"};

std::string hub_cache(const Machine& machine) {
  if (const std::string hub = machine.variable("HF_HUB_CACHE"); !hub.empty()) return hub;
  if (const std::string home = machine.variable("HF_HOME"); !home.empty()) return home + "/hub";
  return machine.variable("HOME") + "/.cache/huggingface/hub";
}

// "org/model" is kept as models--org--model/snapshots/COMMIT, and refs/main names the commit.
std::string snapshot_of(const Machine& machine, const std::string& id) {
  std::string name = id;
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos || name.find('/', slash + 1) != std::string::npos) return "";
  name.replace(slash, 1, "--");
  const std::string home = hub_cache(machine) + "/models--" + name;
  const std::string commit(trim(machine.read(home + "/refs/main").value_or(""), " \n"));
  std::string folder = home + "/snapshots/" + commit;
  return !commit.empty() && machine.exists(folder) ? folder : "";
}

}  // namespace

std::string model_folder(const Machine& machine, const std::string& model) {
  if (model.empty()) return "";
  const std::string path = machine.absolute(model);
  std::error_code ignored;
  if (std::filesystem::is_directory(machine.at(path), ignored)) return path;
  return snapshot_of(machine, model);
}

bool is_weights(std::string_view name) {
  return std::ranges::any_of(kWeights, [&](std::string_view end) { return name.ends_with(end); });
}

std::uint64_t checkpoint_size(const Machine& machine, const std::string& folder) {
  if (folder.empty()) return 0;
  std::uint64_t safetensors = 0;
  std::uint64_t others = 0;
  for (const std::string& name : machine.names_in(folder)) {
    if (!is_weights(name)) continue;
    const std::uint64_t size = machine.size_of(folder + "/" + name).value_or(0);
    (name.ends_with(".safetensors") ? safetensors : others) += size;
  }
  return safetensors > 0 ? safetensors : others;
}

}  // namespace batchproxy
