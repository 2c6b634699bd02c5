// launcher/memory/learned/learned.cc - entries as JSON, and the file they are in.
#include "launcher/memory/learned/learned.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "launcher/memory/learned/state_file.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

constexpr std::string_view kSection = "memory";

struct KeyRow {
  std::string_view name;
  std::string LearnedKey::* member;
};
constexpr std::array kKeyRows{
    KeyRow{"model", &LearnedKey::model},
    KeyRow{"gpu", &LearnedKey::gpu},
    KeyRow{"version", &LearnedKey::version},
    KeyRow{"flags", &LearnedKey::flags},
};

struct FactRow {
  std::string_view name;
  std::optional<std::int64_t> EngineBudget::* member;
};
constexpr std::array kFactRows{
    FactRow{"total_bytes", &EngineBudget::total},
    FactRow{"requested_bytes", &EngineBudget::requested},
    FactRow{"weights_bytes", &EngineBudget::weights},
    FactRow{"activation_bytes", &EngineBudget::activation},
    FactRow{"non_torch_bytes", &EngineBudget::non_torch},
    FactRow{"graphs_bytes", &EngineBudget::graphs},
    FactRow{"available_kv_bytes", &EngineBudget::available_kv},
    FactRow{"kv_tokens", &EngineBudget::kv_tokens},
    FactRow{"max_model_len", &EngineBudget::max_model_len},
};
constexpr std::string_view kConcurrency = "max_concurrency";

Planned<json::object> parse_file(std::string_view text) {
  if (text.empty()) return json::object();
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) return NotPlanned{"not valid JSON: " + error.message()};
  if (!value.is_object()) return NotPlanned{"must hold a JSON object"};
  return std::move(value.as_object());
}

Planned<LearnedEntry> parse_entry(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return NotPlanned{"memory must be a list of objects"};
  LearnedEntry entry;
  for (const KeyRow& row : kKeyRows) {
    const json::value* text = object->if_contains(row.name);
    if (text == nullptr || !text->is_string()) {
      return NotPlanned{"memory." + std::string(row.name) + " must be a text"};
    }
    entry.key.*row.member = std::string(text->get_string());
  }
  for (const FactRow& row : kFactRows) {
    const json::value* number = object->if_contains(row.name);
    if (number == nullptr) continue;
    if (!number->is_int64()) {
      return NotPlanned{"memory." + std::string(row.name) + " must be a whole number"};
    }
    entry.budget.*row.member = number->get_int64();
  }
  if (const json::value* number = object->if_contains(kConcurrency)) {
    if (!number->is_number()) return NotPlanned{"memory.max_concurrency must be a number"};
    entry.budget.max_concurrency = number->to_number<double>();
  }
  return entry;
}

json::object entry_json(const LearnedEntry& entry) {
  json::object object;
  for (const KeyRow& row : kKeyRows) object[row.name] = entry.key.*row.member;
  for (const FactRow& row : kFactRows) {
    if (const auto& fact = entry.budget.*row.member) object[row.name] = *fact;
  }
  if (entry.budget.max_concurrency) object[kConcurrency] = *entry.budget.max_concurrency;
  return object;
}

}  // namespace

const EngineBudget* Learned::find(const LearnedKey& key) const {
  const auto entry = std::ranges::find(entries_, key, &LearnedEntry::key);
  return entry == entries_.end() ? nullptr : &entry->budget;
}

void Learned::merge(const LearnedKey& key, const EngineBudget& budget) {
  LearnedEntry merged{key, EngineBudget()};
  const auto known = std::ranges::find(entries_, key, &LearnedEntry::key);
  if (known != entries_.end()) {
    merged.budget = known->budget;
    entries_.erase(known);
  }
  for (const FactRow& row : kFactRows) {
    if (budget.*row.member) merged.budget.*row.member = budget.*row.member;
  }
  if (budget.max_concurrency) merged.budget.max_concurrency = budget.max_concurrency;
  entries_.push_back(std::move(merged));
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
}

Planned<Learned> parse_learned(std::string_view text) {
  const auto file = parse_file(text);
  if (!file) return file.error();
  Learned learned;
  const json::value* section = file->if_contains(kSection);
  if (section == nullptr) return learned;
  if (!section->is_array()) return NotPlanned{"memory must be a list of objects"};
  for (const json::value& value : section->get_array()) {
    const auto entry = parse_entry(value);
    if (!entry) return entry.error();
    learned.merge(entry->key, entry->budget);
  }
  return learned;
}

Planned<std::string> with_learned(std::string_view text, const Learned& learned) {
  auto file = parse_file(text);
  if (!file) return file.error();
  json::array entries;
  for (const LearnedEntry& entry : learned.entries()) entries.push_back(entry_json(entry));
  (*file)[kSection] = std::move(entries);
  return {boost::system::in_place_value, json::serialize(*file) + "\n"};
}

std::string learned_file() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::string(state) + "/batchproxy/learned.json";
  const char* const home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') return "";
  return std::string(home) + "/.local/state/batchproxy/learned.json";
}

ReadLearned read_learned(const std::string& path) {
  const StateText file = read_state_file(path);
  if (!file.problem.empty()) return {Learned(), file.problem};
  auto learned = parse_learned(file.text);
  if (!learned) return {Learned(), path + ": " + learned.error().reason};
  return {*std::move(learned), ""};
}

std::string learn(const std::string& path, const LearnedKey& key, const EngineBudget& budget) {
  return change_state_file(path, [&](std::string_view text) -> std::optional<std::string> {
    auto learned = parse_learned(text);
    if (!learned) return std::nullopt;
    learned->merge(key, budget);
    auto changed = with_learned(text, *learned);
    if (!changed) return std::nullopt;
    return *std::move(changed);
  });
}

}  // namespace batchproxy
