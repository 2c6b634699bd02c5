// launcher/repair/remember.cc - repairs as JSON.
#include "launcher/repair/remember.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <simdjson.h>

#include "launcher/memory/learned/state_file.h"

namespace batchproxy {
namespace {

namespace json = boost::json;
using Element = simdjson::dom::element;

// More models than anybody serves from one machine; the oldest go first.
constexpr std::size_t kMostEntries = 256;

constexpr std::array<std::string_view, 13> kChangeable{
    "--max-num-seqs",
    "--max-model-len",
    "--gpu-memory-utilization",
    "--max-num-batched-tokens",
    "--disable-custom-all-reduce",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--kv-cache-dtype",
    "--cpu-offload-gb",
    "--max-lora-rank",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "NCCL_P2P_DISABLE",
    "VLLM_WORKER_MULTIPROC_METHOD",
};
// These two are changed to one value only.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kFixed{
    {{"--dtype", "half"}, {"--quantization", "fp8_per_tensor"}}};

bool may_be_changed(const RepairChange& change) {
  return std::ranges::find(kChangeable, change.name) != kChangeable.end() ||
         std::ranges::any_of(kFixed, [&change](const auto& fixed) {
           return fixed.first == change.name && change.after == fixed.second;
         });
}

// Empty if it is not there or is no text.
std::string text_in(const Element& object, std::string_view name) {
  std::string_view text;
  return object[name].get_string().get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

std::optional<std::string> optional_in(const Element& object, std::string_view name) {
  std::string_view text;
  if (object[name].get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  return std::string(text);
}

// Nothing if one of its changes is none that we would make.
std::optional<std::vector<RepairChange>> changes_in(const Element& repair) {
  std::vector<RepairChange> changes;
  simdjson::dom::array list;
  if (repair["changes"].get_array().get(list) != simdjson::SUCCESS) return std::nullopt;
  for (const Element& element : list) {
    RepairChange change;
    change.name = text_in(element, "name");
    change.is_variable = !change.name.starts_with('-');
    change.before = optional_in(element, "before");
    change.after = optional_in(element, "after");
    if (!may_be_changed(change)) return std::nullopt;
    changes.push_back(std::move(change));
  }
  return changes;
}

std::optional<RememberedRepair> repair_in(const Element& element) {
  auto changes = changes_in(element);
  if (!changes) return std::nullopt;
  RememberedRepair repair{cause_of(text_in(element, "cause")),
                          repair_kind_of(text_in(element, "kind")), *std::move(changes),
                          text_in(element, "sentence")};
  if (repair.cause == Cause::kCount || repair.kind == RepairKind::kCount) return std::nullopt;
  return repair;
}

json::object to_object(const RepairChange& change) {
  json::object object;
  object["name"] = change.name;
  if (change.before) object["before"] = *change.before;
  if (change.after) object["after"] = *change.after;
  return object;
}

json::object to_object(const RememberedRepair& repair) {
  json::array changes;
  for (const RepairChange& change : repair.changes) changes.push_back(to_object(change));
  json::object object;
  object["cause"] = describe(repair.cause).word;
  object["kind"] = word(repair.kind);
  object["sentence"] = repair.sentence;
  object["changes"] = std::move(changes);
  return object;
}

std::string change(const std::string& path, const std::function<void(RepairMemory&)>& how) {
  return change_state_file(path, [&how](std::string_view text) -> std::optional<std::string> {
    auto memory = RepairMemory::parse(text);
    if (!memory) return std::nullopt;
    how(*memory);
    return memory->to_json();
  });
}

}  // namespace

std::optional<RepairMemory> RepairMemory::parse(std::string_view json) {
  RepairMemory memory;
  if (json.empty()) return memory;
  simdjson::dom::parser parser;
  simdjson::dom::array entries;
  const simdjson::padded_string padded(json);
  if (parser.parse(padded)["repairs"].get_array().get(entries) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  for (const Element& element : entries) {
    const RepairKey key{text_in(element, "model"), text_in(element, "gpu"),
                        text_in(element, "version")};
    simdjson::dom::array repairs;
    if (element["made"].get_array().get(repairs) != simdjson::SUCCESS) continue;
    for (const Element& repair : repairs) {
      if (auto made = repair_in(repair)) memory.remember(key, *std::move(made));
    }
  }
  return memory;
}

std::string RepairMemory::to_json() const {
  json::array entries;
  for (const Entry& entry : entries_) {
    json::array made;
    for (const RememberedRepair& repair : entry.repairs) made.push_back(to_object(repair));
    json::object object;
    object["model"] = entry.key.model;
    object["gpu"] = entry.key.gpu;
    object["version"] = entry.key.version;
    object["made"] = std::move(made);
    entries.push_back(std::move(object));
  }
  json::object file;
  file["repairs"] = std::move(entries);
  return json::serialize(file) + "\n";
}

const std::vector<RememberedRepair>& RepairMemory::repairs_for(const RepairKey& key) const {
  static const std::vector<RememberedRepair> kNone;
  const auto entry = std::ranges::find(entries_, key, &Entry::key);
  return entry == entries_.end() ? kNone : entry->repairs;
}

std::vector<std::string> RepairMemory::sentences_for(std::string_view model) const {
  std::vector<std::string> sentences;
  for (const Entry& entry : entries_) {
    if (entry.key.model != model) continue;
    for (const RememberedRepair& repair : entry.repairs) {
      sentences.push_back("repaired in an earlier run on " + entry.key.gpu + ", vLLM " +
                          entry.key.version + ": " + repair.sentence);
    }
  }
  return sentences;
}

void RepairMemory::remember(const RepairKey& key, RememberedRepair repair) {
  Entry entry{key, repairs_for(key)};
  std::erase_if(entries_, [&key](const Entry& old) { return old.key == key; });
  std::erase_if(entry.repairs,
                [&repair](const RememberedRepair& old) { return old.kind == repair.kind; });
  entry.repairs.push_back(std::move(repair));
  entries_.push_back(std::move(entry));
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
}

std::size_t RepairMemory::forget(std::string_view model) {
  std::size_t count = 0;
  std::erase_if(entries_, [&](const Entry& entry) {
    if (entry.key.model != model) return false;
    count += entry.repairs.size();
    return true;
  });
  return count;
}

std::string repairs_file() {
  return state_file("repairs.json");
}

ReadRepairs read_repairs(const std::string& path) {
  const StateText file = read_state_file(path);
  if (!file.problem.empty()) return {{}, file.problem};
  auto memory = RepairMemory::parse(file.text);
  if (!memory) return {{}, path + " holds no repairs and is not used"};
  return {*std::move(memory), {}};
}

std::string remember_repair(const std::string& path, const RepairKey& key,
                            const RememberedRepair& repair) {
  return change(path, [&](RepairMemory& memory) { memory.remember(key, repair); });
}

ForgottenRepairs forget_repairs(const std::string& path, std::string_view model) {
  ForgottenRepairs forgotten;
  forgotten.warning =
      change(path, [&](RepairMemory& memory) { forgotten.count = memory.forget(model); });
  return forgotten;
}

}  // namespace batchproxy
