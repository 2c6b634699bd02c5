// backends/model_table.cc - see model_table.h.
#include "backends/model_table.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

void ModelTable::expect(BackendId backend, const std::vector<std::string>& configured) {
  backends_[backend] = {configured, {}};
  all_.insert(backend);
  silent_.insert(backend);
  anything_.erase(backend);
  has_changed();
}

bool ModelTable::set(BackendId backend, const std::vector<Served>& models) {
  const bool spoke = all_.contains(backend) && !silent_.contains(backend);
  Backend& of = backends_[backend];
  if (spoke && !anything_.contains(backend) && of.said == models) return false;
  of.said = models;
  all_.insert(backend);
  silent_.erase(backend);
  anything_.erase(backend);
  has_changed();
  return true;
}

void ModelTable::set_anything(BackendId backend) {
  set(backend, {});
  anything_.insert(backend);
  has_changed();
}

void ModelTable::retire(BackendId backend) {
  silent_.erase(backend);
  has_changed();
}

void ModelTable::remove(BackendId backend) {
  backends_.erase(backend);
  for (BackendSet* set : {&all_, &silent_, &anything_}) set->erase(backend);
  has_changed();
}

void ModelTable::has_changed() {
  ++version_;
  sets_.clear();
  entries_.clear();
  const auto add = [this](BackendId id, const std::string& name, const std::string& json) {
    const auto [known, is_new] = sets_.try_emplace(name);
    known->second.insert(id);
    if (is_new) return entries_.push_back({name, json});
    Entry& entry = *std::ranges::find(entries_, name, &Entry::name);
    if (entry.json.empty()) entry.json = json;
  };
  for (const auto& [id, backend] : backends_) {
    for (const Served& model : backend.said) add(id, model.id, model.json);
  }
  for (const auto& [id, backend] : backends_) {
    for (const std::string& name : backend.configured) add(id, name, {});
  }
}

BackendSet ModelTable::find(std::string_view model) const {
  if (model.empty()) return all_;
  const auto it = sets_.find(model);
  return anything_ | (it == sets_.end() ? BackendSet() : it->second);
}

std::string ModelTable::names(BackendSet among) const {
  std::string names;
  for (const Entry& entry : entries_) {
    if ((sets_.at(entry.name) & among).empty()) continue;
    if (!names.empty()) names += ", ";
    names += entry.name;
  }
  return names;
}

bool ModelTable::has_list() const {
  return std::ranges::any_of(entries_, [](const Entry& entry) { return !entry.json.empty(); });
}

std::string ModelTable::models_json() const {
  std::string json = R"({"object":"list","data":[)";
  bool first = true;
  for (const Entry& entry : entries_) {
    if (entry.json.empty()) continue;
    if (!std::exchange(first, false)) json += ',';
    json += entry.json;
  }
  return json + "]}";
}

}  // namespace batchproxy
