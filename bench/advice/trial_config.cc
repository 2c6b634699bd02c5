// bench/advice/trial_config.cc - see trial_config.h.
#include "bench/advice/trial_config.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "configs/worker/worker_keys.h"
#include "configs/yaml/writer.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kAssumedGpus = 8;  // by simulated engines

// What is written by us stands in quotes unless it is a number or a plain word of YAML's.
Yaml plain(std::string text) {
  return Yaml::scalar(std::move(text), {});
}
Yaml text_of(std::string text) {
  Yaml value = plain(std::move(text));
  value.plain = false;
  return value;
}
Yaml empty_map() {
  Yaml map;
  map.kind = Yaml::Kind::kMap;
  return map;
}

// "tensor_parallel_size" for all its spellings.
std::string argument_name(std::string_view key) {
  while (key.starts_with('-')) key.remove_prefix(1);
  std::string name(key);
  std::ranges::replace(name, '-', '_');
  return name;
}

void erase(Yaml& map, std::string_view key) {
  std::erase_if(map.entries, [key](const YamlEntry& entry) { return entry.key == key; });
}

void set(Yaml& map, const std::string& key, Yaml value) {
  const auto found = std::ranges::find(map.entries, key, &YamlEntry::key);
  if (found != map.entries.end()) {
    found->value = std::move(value);
  } else {
    map.entries.push_back({key, {}, std::move(value)});
  }
}

// The map below `key`, which is made where there is none.
Yaml& map_in(Yaml& map, const std::string& key, const std::string& path) {
  const auto found = std::ranges::find(map.entries, key, &YamlEntry::key);
  if (found == map.entries.end()) {
    map.entries.push_back({key, {}, empty_map()});
    return map.entries.back().value;
  }
  if (found->value.is_null()) found->value = empty_map();
  if (!found->value.is_map()) {
    throw std::runtime_error(
        fmt::format("{}: {} is no mapping of keys and values, so the engines cannot be set there: "
                    "write it as one, a key on each line",
                    to_string(found->key_place), path));
  }
  return found->value;
}

Yaml& map_at(Yaml& root, std::string_view path) {
  Yaml* map = &root;
  std::string so_far;
  while (!path.empty()) {
    const std::string key(path.substr(0, path.find('.')));
    path.remove_prefix(std::min(path.size(), key.size() + 1));
    so_far += (so_far.empty() ? "" : ".") + key;
    map = &map_in(*map, key, so_far);
  }
  return *map;
}

// The mappings that hold a key which the workers share; one of them must not contradict another.
// `otherwise`: where the key goes when there is none.
std::vector<std::string> homes_of(const Yaml& root, std::string_view key,
                                  const std::string& otherwise) {
  std::vector<std::string> paths;
  for (const WorkerHome& home : worker_homes(root)) {
    const bool reads_it = std::ranges::count(home.shared, key) > 0;
    if (reads_it && home.map->find(key) != nullptr) paths.push_back(home.path);
  }
  if (paths.empty()) paths.push_back(otherwise);
  return paths;
}

std::string settings_of(const Yaml& root) {
  return homes_of(root, "hf_model_id", "model.generator_settings").front();
}

void set_boot_local(Yaml& root) {
  for (const std::string& path : homes_of(root, "boot_local", settings_of(root))) {
    set(map_at(root, path), "boot_local", plain("true"));
  }
}

void set_engines(Yaml& root, const Topology& topology) {
  set_boot_local(root);
  const std::string settings = settings_of(root);
  for (const std::string& path : homes_of(root, "vllm_args", settings)) {
    Yaml& arguments = map_in(map_at(root, path), "vllm_args", "vllm_args");
    std::erase_if(arguments.entries, [](const YamlEntry& entry) {
      const std::string name = argument_name(entry.key);
      return name == "tensor_parallel_size" || name == "tp";
    });
    YamlEntry size{"tensor_parallel_size", {}, plain(std::to_string(topology.tensor_parallel))};
    arguments.entries.insert(arguments.entries.begin(), std::move(size));
  }
  set(map_at(root, "batchproxy.launcher"), "servers", plain(std::to_string(topology.engines)));
}

void set_workers(Yaml& root, std::size_t workers) {
  for (const std::string& path : homes_of(root, "parallel_workers", "processing")) {
    set(map_at(root, path), "parallel_workers", plain(std::to_string(workers)));
  }
}

Yaml as_map(Yaml root) {
  return root.is_map() ? std::move(root) : empty_map();
}

}  // namespace

Yaml config_for_model(const std::string& name) {
  Yaml root = empty_map();
  Yaml& settings = map_at(root, "model.generator_settings");
  set(settings, "boot_local", plain("true"));
  set(settings, "hf_model_id", text_of(name));
  set(settings, "vllm_args", empty_map());
  return root;
}

std::string launching_config(Yaml user) {
  Yaml root = as_map(std::move(user));
  set_boot_local(root);
  return to_yaml(root);
}

std::string trial_config(Yaml user, const Topology& topology, const TrialScene& scene) {
  Yaml root = as_map(std::move(user));
  set_engines(root, topology);
  Yaml& own = map_at(root, "batchproxy");
  for (const char* key : {"backends", "access_log", "tracing"}) erase(own, key);
  set(map_in(own, "jobs", "batchproxy.jobs"), "directory", text_of(scene.folder + "/jobs"));
  Yaml& launcher = map_in(own, "launcher", "batchproxy.launcher");
  set(launcher, "keep", plain("false"));
  set(launcher, "log_directory", text_of(scene.folder));
  if (scene.simulated) {
    set(launcher, "engine", plain("sim"));
    // Engines on GPUs that are named wait for the memory of these, even simulated ones.
    for (const char* key : {"gpu", "gpus"}) erase(launcher, key);
    if (scene.gpus > kAssumedGpus) set(launcher, "gpus", plain(std::to_string(scene.gpus)));
    set(launcher, "sim_hardware", plain(scene.hardware));
    set(launcher, "sim_time_scale", plain(fmt::format("{:g}", scene.time_scale)));
  }
  return to_yaml(root);
}

std::string advised_config(Yaml user, const Topology& topology, std::size_t workers,
                           const std::vector<std::string>& remarks) {
  Yaml root = as_map(std::move(user));
  set_engines(root, topology);
  set_workers(root, workers);
  std::string text(kAdvisedMark);
  text += '\n';
  for (const std::string& remark : remarks) text += "# " + remark + "\n";
  return text + "\n" + to_yaml(root);
}

}  // namespace batchproxy::bench
