// backends/health/model_table.cc - see model_table.h.
#include "backends/health/model_table.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>

namespace batchproxy {

namespace {

// The objects of models of which no more is known than their names.
std::vector<ModelTable::Served> plain(const std::vector<std::string>& names) {
  std::vector<ModelTable::Served> models;
  for (const std::string& name : names) {
    models.push_back({name, R"({"id":)" + boost::json::serialize(name) +
                                R"(,"object":"model","created":0,"owned_by":"batchproxy"})"});
  }
  return models;
}

}  // namespace

void ModelTable::expect(BackendId backend, const ConfiguredModels& configured) {
  backends_[backend] = {configured, {}};
  all_.insert(backend);
  silent_.insert(backend);
  anything_.erase(backend);
  has_changed();
}

void ModelTable::configure(BackendId backend, const std::vector<std::string>& names) {
  Backend& of = backends_[backend];
  of.configured.names = names;
  if (of.unlisted) of.said = plain(names);
  has_changed();
}

bool ModelTable::set(BackendId backend, const std::vector<Served>& models) {
  Backend& of = backends_[backend];
  if (!of.unlisted && has_spoken(backend) && of.said == models) return false;
  of.unlisted = false;
  hear(backend, models);
  return true;
}

bool ModelTable::set_unlisted(BackendId backend) {
  Backend& of = backends_[backend];
  if (of.unlisted && has_spoken(backend)) return false;
  of.unlisted = true;
  hear(backend, plain(of.configured.names));
  return true;
}

bool ModelTable::set_anything(BackendId backend) {
  if (anything_.contains(backend)) return false;
  set(backend, {});
  anything_.insert(backend);
  has_changed();
  return true;
}

bool ModelTable::has_spoken(BackendId backend) const {
  return all_.contains(backend) && !silent_.contains(backend) && !anything_.contains(backend);
}

void ModelTable::hear(BackendId backend, std::vector<Served> models) {
  backends_[backend].said = std::move(models);
  all_.insert(backend);
  silent_.erase(backend);
  anything_.erase(backend);
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
    if (backend.tells() && !backend.configured.always) continue;
    for (const std::string& name : backend.configured.names) add(id, name, {});
  }
}

BackendSet ModelTable::find(std::string_view model) const {
  if (model.empty()) return all_;
  const auto it = sets_.find(model);
  return it == sets_.end() ? anything_ : it->second;
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
