// configs/overrides.cc - the table of flags and variables.
#include "configs/overrides.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "configs/yaml/binder.h"

namespace batchproxy {
namespace {

using Environment = std::map<std::string, std::string>;

struct Setting {
  std::string_view flag;
  std::string_view variable;
  void (*apply)(Binder& binder, Options& options, const Yaml& value);
};

// `key_of` picks the Key out of the Options.
template <auto key_of>
void set_key(Binder& binder, Options& options, const Yaml& value) {
  auto& key = key_of(options);
  binder.set(key, value, std::string(key.name));
}

constexpr std::array kSettings{
    Setting{"--listen", "BATCHPROXY_LISTEN",
            set_key<[](Options& o) -> auto& { return o.proxy.listen; }>},
    Setting{"--admin", "BATCHPROXY_ADMIN",
            set_key<[](Options& o) -> auto& { return o.proxy.admin; }>},
    Setting{"--backend", "BATCHPROXY_BACKENDS",
            set_key<[](Options& o) -> auto& { return o.proxy.backends; }>},
    Setting{"--api-keys-file", "BATCHPROXY_API_KEYS_FILE",
            set_key<[](Options& o) -> auto& { return o.proxy.api_keys_file; }>},
    Setting{"--allow-unauthenticated", "BATCHPROXY_ALLOW_UNAUTHENTICATED",
            set_key<[](Options& o) -> auto& { return o.proxy.allow_unauthenticated; }>},
    Setting{"--engine", "BATCHPROXY_ENGINE",
            set_key<[](Options& o) -> auto& { return o.proxy.launcher.engine; }>},
    Setting{"--gpus", "BATCHPROXY_GPUS",
            set_key<[](Options& o) -> auto& { return o.proxy.launcher.gpus; }>},
    Setting{"--io-threads", "BATCHPROXY_IO_THREADS",
            set_key<[](Options& o) -> auto& { return o.proxy.io_threads; }>},
    Setting{"--batch-size", "BATCHPROXY_BATCH_SIZE",
            set_key<[](Options& o) -> auto& { return o.worker.batch_size; }>},
    Setting{"--batch-timeout", "BATCHPROXY_BATCH_TIMEOUT",
            set_key<[](Options& o) -> auto& { return o.worker.batch_timeout; }>},
    Setting{"--flush", "BATCHPROXY_FLUSH",
            set_key<[](Options& o) -> auto& { return o.proxy.flush; }>},
    Setting{"--log-level", "BATCHPROXY_LOG_LEVEL",
            set_key<[](Options& o) -> auto& { return o.proxy.log_level; }>},
};
constexpr std::string_view kBackendFlag = "--backend";
constexpr std::string_view kBackendsVariable = "BATCHPROXY_BACKENDS";
constexpr std::string_view kKeysVariable = "BATCHPROXY_API_KEYS";  // no key of the file: a secret

Yaml list_at(Place place) {
  Yaml list;
  list.kind = Yaml::Kind::kList;
  list.place = std::move(place);
  return list;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

Yaml split_at_commas(std::string_view text, const Place& place) {
  Yaml list = list_at(place);
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = trimmed(text.substr(0, comma));
    if (!part.empty()) list.items.push_back(Yaml::scalar(std::string(part), place));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

}  // namespace

void apply_environment(const Environment& environment, Options& options, Findings& findings) {
  Binder binder(Source::kEnvironment, findings);
  std::vector<std::string_view> names;
  for (const Setting& setting : kSettings) names.push_back(setting.variable);
  names.push_back(kKeysVariable);
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("BATCHPROXY_") || value.empty()) continue;
    if (name == kKeysVariable) {
      options.api_keys = value;
      continue;
    }
    const Place place{name};
    const auto setting = std::ranges::find(kSettings, name, &Setting::variable);
    if (setting == kSettings.end()) {
      if (const auto nearest = nearest_name(name, names)) {
        findings.warning(place, "not read; did you mean '" + std::string(*nearest) + "'?");
      }
    } else if (name == kBackendsVariable) {
      setting->apply(binder, options, split_at_commas(value, place));
    } else {
      setting->apply(binder, options, Yaml::scalar(value, place));
    }
  }
}

void apply_flags(const std::vector<std::pair<std::string, std::string>>& flags, Options& options,
                 Findings& findings) {
  Binder binder(Source::kFlag, findings);
  Yaml backends = list_at({std::string(kBackendFlag)});
  for (const auto& [flag, value] : flags) {
    const auto setting = std::ranges::find(kSettings, flag, &Setting::flag);
    if (setting == kSettings.end()) {
      findings.error({flag}, "unknown flag");
    } else if (flag == kBackendFlag) {
      backends.items.push_back(Yaml::scalar(value, {flag}));
      setting->apply(binder, options, backends);
    } else {
      setting->apply(binder, options, Yaml::scalar(value, {flag}));
    }
  }
}

}  // namespace batchproxy
