// configs/worker/worker_keys.cc - where shared keys may stand, and what to say if they are
// misspelt.
#include "configs/worker/worker_keys.h"

#include <algorithm>
#include <utility>

#include "configs/sources/binder.h"
#include "configs/yaml/mistakes.h"

namespace batchproxy {
namespace {

// What a message calls the home.
std::string title(const WorkerHome& home) {
  return home.path.empty() ? "the top level" : home.path;
}

std::string path_in(const WorkerHome& home, std::string_view name) {
  return (home.path.empty() ? "" : home.path + ".") + std::string(name);
}

struct Occurrence {
  const WorkerHome* home = nullptr;
  const YamlEntry* entry = nullptr;
};

std::vector<Occurrence> occurrences(const std::vector<WorkerHome>& homes, std::string_view name) {
  std::vector<Occurrence> found;
  for (const WorkerHome& home : homes) {
    if (std::ranges::count(home.shared, name) == 0) continue;
    if (const YamlEntry* entry = home.map->find(name)) found.push_back({&home, entry});
  }
  return found;
}

// The first home counts; each other one must say the same. A null says nothing.
template <class T>
void read_key(const std::vector<WorkerHome>& homes, Key<T>& key, Findings& findings) {
  const std::string name(key.name);
  std::vector<Occurrence> found = occurrences(homes, name);
  const auto is_null = [](const Occurrence& one) { return one.entry->value.is_null(); };
  if (!std::ranges::all_of(found, is_null)) std::erase_if(found, is_null);
  if (found.empty()) return;

  Binder binder(Source::kFile, findings);
  const Occurrence& first = found.front();
  binder.set(key, first.entry->value, name);
  if (findings.has_error_at(first.entry->value.place)) return;
  for (std::size_t i = 1; i < found.size(); ++i) {
    const auto value = binder.read<T>(found[i].entry->value, {name, key.limits});
    if (!value || *value == key.value) continue;
    findings.error(found[i].entry->key_place,
                   name + " stands in " + title(*found[i].home) + " and, with another value, in " +
                       title(*first.home) + " (line " +
                       std::to_string(first.entry->key_place.line) + "); keep one of them");
  }
}

void warn_of_near_misses(const WorkerHome& home, Findings& findings) {
  std::vector<std::string_view> names = home.shared;
  names.insert(names.end(), home.landmarks.begin(), home.landmarks.end());
  for (const YamlEntry& entry : home.map->entries) {
    if (std::ranges::count(names, entry.key) > 0) continue;
    const std::string_view glued = glued_key(entry.key);
    if (std::ranges::count(names, glued.substr(0, glued.find(':'))) > 0) {
      findings.warning(entry.key_place, "'" + path_in(home, entry.key) +
                                            "' is not read; a blank is missing after '" +
                                            std::string(glued) + "'");
      continue;
    }
    const auto nearest = nearest_name(entry.key, names);
    if (!nearest) continue;
    findings.warning(entry.key_place, "'" + path_in(home, entry.key) +
                                          "' is not read; did you mean '" + std::string(*nearest) +
                                          "'?");
  }
}

// Keys that are right in every letter, and in the wrong place, would be ignored in silence. Only
// names that the workers hardly use for themselves are looked for.
void warn_of_misplaced(const WorkerHome& home, Findings& findings) {
  static const std::vector<std::string_view> kOurs{
      "listen",   "admin",    "io_threads", "flush",           "affinity",        "merge",
      "backends", "launcher", "max_queue",  "request_timeout", "metrics_interval"};
  static const std::vector<std::string_view> kEngines{"boot_local", "hf_model_id", "vllm_args",
                                                      "server_startup_timeout"};
  const auto warn = [&](const YamlEntry& entry, std::string_view where) {
    findings.warning(entry.key_place, "'" + path_in(home, entry.key) +
                                          "' is not read; it belongs " + std::string(where));
  };
  for (const YamlEntry& entry : home.map->entries) {
    if (std::ranges::count(home.shared, entry.key) > 0) continue;
    if (entry.key == "batchproxy" && !home.path.empty()) warn(entry, "at the top level");
    if (std::ranges::count(kOurs, entry.key) > 0) warn(entry, "under batchproxy");
    if (std::ranges::count(kEngines, entry.key) > 0) warn(entry, "under model.generator_settings");
  }
}

void require_mapping(const Yaml& parent, const std::string& path, Findings& findings) {
  const YamlEntry* settings = parent.find("generator_settings");
  if (!settings || settings->value.is_map() || settings->value.is_null()) return;
  report_unexpected(settings->value, path, "a mapping", findings);
}

}  // namespace

const std::vector<std::string_view>& bare_worker_names() {
  static const std::vector<std::string_view> names{"enable_batching", "batch_size", "batch_timeout",
                                                   "parallel_workers"};
  return names;
}

std::vector<WorkerHome> worker_homes(const Yaml& root) {
  static const WorkerOptions defaults;
  const std::vector<std::string_view> all = member_names(defaults);
  std::vector<WorkerHome> homes;
  const auto add = [&](const Yaml& parent, std::string_view name, WorkerHome home) {
    const YamlEntry* entry = parent.find(name);
    if (!entry || !entry->value.is_map()) return;
    home.map = &entry->value;
    homes.push_back(std::move(home));
  };
  if (const YamlEntry* model = root.find("model")) {
    add(model->value, "generator_settings", {nullptr, "model.generator_settings", all, {}});
  }
  add(root, "generator_settings", {nullptr, "generator_settings", all, {}});
  add(root, "model", {nullptr, "model", all, {"generator_settings"}});
  add(root, "processing", {nullptr, "processing", {"parallel_workers"}, {}});
  homes.push_back({&root, "", bare_worker_names(), {"batchproxy", "generator_settings"}});
  return homes;
}

void read_worker_keys(const Yaml& root, WorkerOptions& options, Findings& findings) {
  const std::vector<WorkerHome> homes = worker_homes(root);
  for (const WorkerHome& home : homes) {
    report_duplicate_keys(*home.map, title(home), findings);
    warn_of_near_misses(home, findings);
    warn_of_misplaced(home, findings);
  }
  if (const YamlEntry* model = root.find("model")) {
    if (model->value.is_list()) {
      findings.warning(model->value.place,
                       "model: nothing in this list is read; write a mapping, without the '- '");
    }
    require_mapping(model->value, "model.generator_settings", findings);
  }
  require_mapping(root, "generator_settings", findings);
  for_each_member(options, [&](auto& key) { read_key(homes, key, findings); });
}

}  // namespace batchproxy
