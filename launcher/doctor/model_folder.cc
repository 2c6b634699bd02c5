// launcher/doctor/model_folder.cc - see model_folder.h.
#include "launcher/doctor/model_folder.h"

#include <algorithm>
#include <array>

#include "launcher/memory/model/model_files.h"

namespace batchproxy {
namespace {

constexpr std::array<std::string_view, 5> kWeights{".safetensors", ".bin", ".pt", ".pth", ".gguf"};

// The folders that say where the cache is, as we find them from /.
Environment from_our_root(const Machine& machine) {
  Environment environment = machine.environment;
  for (const char* name : {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"}) {
    if (const std::string folder = machine.variable(name); !folder.empty()) {
      environment[name] = machine.at(folder).string();
    }
  }
  return environment;
}

}  // namespace

std::string model_folder(const Machine& machine, const std::string& model) {
  if (model.empty()) return "";
  std::string path = machine.absolute(model);
  std::error_code ignored;
  if (std::filesystem::is_directory(machine.at(path), ignored)) return path;
  const auto snapshot = find_model(model, from_our_root(machine));
  if (!snapshot) return "";
  return "/" + std::filesystem::path(*snapshot).lexically_relative(machine.root).string();
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
