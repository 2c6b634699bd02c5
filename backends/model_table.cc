// backends/model_table.cc - see model_table.h.
#include "backends/model_table.h"

namespace batchproxy {

void ModelTable::expect(BackendId backend) {
  silent_.insert(backend);
  ++version_;
}

void ModelTable::set(BackendId backend, const std::vector<Served>& models) {
  ++version_;
  for (auto& [name, set] : sets_) set.erase(backend);
  for (const Served& model : models) {
    sets_[model.id].insert(backend);
    json_.insert_or_assign(model.id, model.json);
  }
  std::erase_if(sets_, [](const auto& entry) { return entry.second.empty(); });
  all_.insert(backend);
  silent_.erase(backend);
  anything_.erase(backend);
}

void ModelTable::set_anything(BackendId backend) {
  set(backend, {});
  anything_.insert(backend);
}

void ModelTable::remove(BackendId backend) {
  set(backend, {});
  all_.erase(backend);
}

BackendSet ModelTable::find(std::string_view model) const {
  if (model.empty()) return all_;
  const auto it = sets_.find(model);
  return anything_ | (it == sets_.end() ? BackendSet() : it->second);
}

std::string ModelTable::names() const {
  std::string names;
  for (const auto& [name, set] : sets_) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

std::string ModelTable::models_json() const {
  std::string json = R"({"object":"list","data":[)";
  bool first = true;
  for (const auto& [name, set] : sets_) {
    if (!std::exchange(first, false)) json += ',';
    json += json_.at(name);
  }
  return json + "]}";
}

}  // namespace batchproxy
