// backends/model_table.cc - first what backends say, then what is configured for them.
#include "backends/model_table.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>

namespace batchproxy {

namespace {

// The object of a model of which no more is known than its name.
std::string plain_object(const std::string& name) {
  return R"({"id":)" + boost::json::serialize(name) +
         R"(,"object":"model","created":0,"owned_by":"batchproxy"})";
}

// Whether what is configured for a backend counts beside what it says.
bool keeps_configured(const BackendRecord& backend) {
  return backend.origin == BackendOrigin::kLaunched || backend.served.models.empty();
}

}  // namespace

ModelTable::ModelTable(const std::vector<BackendPtr>& backends, std::uint64_t version)
    : version_(version) {
  using Kind = ModelList::Kind;
  for (const BackendPtr& backend : backends) {
    if (!backend->is_present()) continue;
    const BackendId id = backend->id();
    const Kind kind = backend->served.kind;
    all_.insert(id);
    if (kind == Kind::kWithheld) anything_.insert(id);
    if (kind == Kind::kUntold && backend->state != BackendState::kFailed) complete_ = false;
    for (const ServedModel& model : backend->served.models) add(id, model.id, model.json);
    if (kind != Kind::kUnlisted) continue;
    for (const std::string& name : backend->models) add(id, name, plain_object(name));
  }
  for (const BackendPtr& backend : backends) {
    if (!backend->is_present() || !keeps_configured(*backend)) continue;
    for (const std::string& name : backend->models) add(backend->id(), name, {});
  }
}

void ModelTable::add(BackendId backend, const std::string& name, const std::string& json) {
  const auto [known, is_new] = sets_.try_emplace(name);
  known->second.insert(backend);
  if (is_new) return entries_.push_back({name, json});
  Entry& entry = *std::ranges::find(entries_, name, &Entry::name);
  if (entry.json.empty()) entry.json = json;
}

BackendSet ModelTable::find(std::string_view model) const {
  if (model.empty()) return all_;
  const auto it = sets_.find(model);
  return it == sets_.end() ? anything_ : it->second;
}

std::string ModelTable::names(const BackendSet& among) const {
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
