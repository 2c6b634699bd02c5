// configs/sources/overrides.cc - flags and variables, as the rows of options.h name them.
#include "configs/sources/overrides.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "configs/sources/binder.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

constexpr std::string_view kKeysVariable = "BATCHPROXY_API_KEYS";  // no key of the file: a secret

// Calls visit(key) for each Key that has a flag and a variable.
template <class Visit>
void for_each_flagged(Options& options, const Visit& visit) {
  const auto if_flagged = [&visit](auto& key) {
    if (!key.flag.name.empty()) visit(key);
  };
  for_each_key(options.worker, if_flagged);
  for_each_key(options.proxy, if_flagged);
}

template <class T>
inline constexpr bool is_list = false;
template <class Item>
inline constexpr bool is_list<std::vector<Item>> = true;

Yaml list_at(Place place) {
  Yaml list;
  list.kind = Yaml::Kind::kList;
  list.place = std::move(place);
  return list;
}

Yaml split_at_commas(std::string_view text, const Place& place) {
  Yaml list = list_at(place);
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = trim(text.substr(0, comma), " ");
    if (!part.empty()) list.items.push_back(Yaml::scalar(std::string(part), place));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

}  // namespace

std::vector<KeyFlag> key_flags() {
  Options defaults;
  std::vector<KeyFlag> flags;
  for_each_flagged(defaults, [&flags](const auto& key) { flags.push_back(key.flag); });
  std::ranges::sort(flags, {}, &KeyFlag::order);
  return flags;
}

void apply_environment(const Environment& environment, Options& options, Findings& findings) {
  Binder binder(Source::kEnvironment, findings);
  std::vector<std::string_view> names;
  for (const KeyFlag& flag : key_flags()) names.push_back(flag.variable);
  names.push_back(kKeysVariable);
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("BATCHPROXY_") || value.empty()) continue;
    const Place place{name};
    if (name == kKeysVariable) {
      options.api_keys = value;
    } else if (std::ranges::find(names, name) != names.end()) {
      for_each_flagged(options, [&]<class T>(Key<T>& key) {
        if (key.flag.variable != name) return;
        const Yaml given = is_list<T> ? split_at_commas(value, place) : Yaml::scalar(value, place);
        binder.set(key, given, std::string(key.name));
      });
    } else if (const auto nearest = nearest_name(name, names)) {
      findings.warning(place, "not read; did you mean '" + std::string(*nearest) + "'?");
    }
  }
}

void apply_flags(const std::vector<Flag>& flags, Options& options, Findings& findings) {
  Binder binder(Source::kFlag, findings);
  std::map<std::string_view, Yaml> lists;  // what flags that may be repeated have said so far
  for (const auto& [flag, value] : flags) {
    bool is_known = false;
    for_each_flagged(options, [&]<class T>(Key<T>& key) {
      if (key.flag.name != flag) return;
      is_known = true;
      Yaml given = Yaml::scalar(value, {flag});
      if constexpr (is_list<T>) {
        Yaml& list = lists.try_emplace(key.flag.name, list_at({flag})).first->second;
        list.items.push_back(std::move(given));
        given = list;
      }
      binder.set(key, given, std::string(key.name));
    });
    if (!is_known) findings.error({flag}, "unknown flag");
  }
}

}  // namespace batchproxy
