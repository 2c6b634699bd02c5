// configs/sources/overrides.cc - flags and variables, as the rows of options.h name them.
#include "configs/sources/overrides.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>
#include <variant>

#include "configs/sources/binder.h"
#include "configs/text/items.h"
#include "configs/text/nearest_name.h"
#include "configs/vllm/argument_flags.h"
#include "configs/vllm/arguments.h"

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

// Whoever may ask the admin address may try these: nothing of who is let in, or what is started.
constexpr std::array<std::string_view, 6> kMayBeTried{
    "enable_batching", "batch_size", "batch_timeout", "flush", "affinity", "merge"};

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
  for (std::string& item : items_between_commas(text)) {
    list.items.push_back(Yaml::scalar(std::move(item), place));
  }
  return list;
}

// Also for those of launcher.servers that have one of their own. `name`: of the flag or variable.
void set_for_all_engines(const Argument& argument, Source source, std::string_view name,
                         Options& options) {
  Key<Arguments>& shared = options.worker.vllm_args;
  shared.value = merge_arguments(*shared, {argument});
  if (shared.origin.source == Source::kDefault) shared.origin.source = source;
  shared.origin.detail += (shared.origin.detail.empty() ? "" : ", ") + std::string(name);
  auto* servers = std::get_if<std::vector<ServerOptions>>(&options.proxy.launcher.servers.value);
  if (servers == nullptr) return;
  for (ServerOptions& server : *servers) {
    if (!find_argument(*server.vllm_args, argument.name)) continue;
    server.vllm_args.value = merge_arguments(*server.vllm_args, {argument});
  }
}

// The argument of that flag or variable. False if it has none.
bool set_argument(std::string_view KeyFlag::* by, std::string_view name, const std::string& value,
                  Source source, Options& options, Findings& findings) {
  const auto row = std::ranges::find_if(
      kArgumentFlags, [&](const ArgumentFlag& each) { return each.flag.*by == name; });
  if (row == kArgumentFlags.end()) return false;
  const Argument argument{std::string(row->argument), value};
  if (const std::string problem = argument_problem(argument); !problem.empty()) {
    findings.error({std::string(name)}, argument.name + ": " + problem);
    return true;
  }
  set_for_all_engines(argument, source, name, options);
  return true;
}

}  // namespace

std::vector<KeyFlag> key_flags() {
  Options defaults;
  std::vector<KeyFlag> flags;
  for_each_flagged(defaults, [&flags](const auto& key) { flags.push_back(key.flag); });
  for (const ArgumentFlag& each : kArgumentFlags) flags.push_back(each.flag);
  std::ranges::sort(flags, {}, &KeyFlag::order);
  return flags;
}

void apply_environment(const Environment& environment, Options& options, Findings& findings) {
  Binder binder(Source::kEnvironment, findings);
  std::vector<std::string_view> names;
  for (const KeyFlag& flag : key_flags()) names.push_back(flag.variable);
  names.push_back(kKeysVariable);
  for (const auto& [name, value] : environment) {
    // A few are OpenTelemetry's.
    const bool is_named = std::ranges::find(names, name) != names.end();
    if ((!name.starts_with("BATCHPROXY_") && !is_named) || value.empty()) continue;
    const Place place{name};
    if (name == kKeysVariable) {
      options.api_keys = value;
    } else if (set_argument(&KeyFlag::variable, name, value, Source::kEnvironment, options,
                            findings)) {
      continue;
    } else if (is_named) {
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
    if (!is_known) {
      is_known = set_argument(&KeyFlag::name, flag, value, Source::kFlag, options, findings);
    }
    if (!is_known) findings.error({flag}, "unknown flag");
  }
}

void apply_trial(const std::vector<Flag>& trial, Options& options, Findings& findings) {
  Binder binder(Source::kFlag, findings);
  for (const auto& [name, value] : trial) {
    const Place place{name};
    if (std::ranges::find(kMayBeTried, name) == kMayBeTried.end()) {
      const std::vector<std::string_view> names(kMayBeTried.begin(), kMayBeTried.end());
      findings.error(place,
                     "may not be tried" + suggestion(name, names) + "; what may is " + join(names));
      continue;
    }
    const auto set = [&](auto& key) {
      if (key.name == name) binder.set(key, Yaml::scalar(value, place), std::string(key.name));
    };
    for_each_key(options.worker, set);
    for_each_key(options.proxy, set);
  }
}

void apply_engine_words(const std::vector<std::string>& words, Options& options,
                        Findings& findings) {
  if (words.empty()) return;
  const Place place{"serve"};
  Yaml list = list_at(place);
  for (const std::string& word : words) list.items.push_back(Yaml::scalar(word, place));
  const auto arguments = read_arguments(list, "vllm_args", findings);
  if (!arguments) return;
  for (const Argument& argument : *arguments) {
    set_for_all_engines(argument, Source::kFlag, "--" + argument.name, options);
  }
}

}  // namespace batchproxy
