// configs/sources/binder.h - puts YAML values into Keys and sections, remembering where they came
// from.
//
// Threading: confined to one load.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "configs/schema/section.h"
#include "configs/text/nearest_name.h"
#include "configs/vllm/arguments.h"
#include "configs/yaml/values.h"

namespace batchproxy {

// Reports each key that stands twice in this mapping; yaml-cpp would keep both in silence.
void report_duplicate_keys(const Yaml& map, const std::string& path, Findings& findings);

class Binder {
 public:
  Binder(Source source, Findings& findings) : source_(source), findings_(findings) {}

  // Sets `key`, called `path` in messages, from `node`. A refused value leaves the value as it was
  // but sets the origin, so that later checks can tell that there is an error at that place.
  // A null text, list or mapping counts as absent, as it does for the workers.
  template <class T>
  void set(Key<T>& key, const Yaml& node, const std::string& path) {
    if (node.is_null() && may_be_null<T>) return;
    key.origin = {source_, to_string(node.place), node.place.line, node.place.column};
    if (auto value = read<T>(node, {path, key.limits})) key.value = *std::move(value);
  }

  // The value alone, for comparing two homes of one key.
  template <class T>
  std::optional<T> read(const Yaml& node, const Expectation& expected) {
    if constexpr (std::is_same_v<T, bool>) return read_bool(node, expected, findings_);
    if constexpr (std::is_same_v<T, std::int64_t>) return read_integer(node, expected, findings_);
    if constexpr (std::is_same_v<T, double>) return read_number(node, expected, findings_);
    if constexpr (std::is_same_v<T, Seconds>) return read_seconds(node, expected, findings_);
    if constexpr (std::is_same_v<T, std::string>) return read_string(node, expected, findings_);
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      return read_strings(node, expected, findings_);
    }
    if constexpr (std::is_same_v<T, Arguments>) {
      return read_arguments(node, expected.path, findings_);
    }
    if constexpr (std::is_same_v<T, Servers>) return read_servers(node, expected);
    if constexpr (std::is_same_v<T, GpuChoice>) return read_gpus(node, expected);
    if constexpr (std::is_same_v<T, std::vector<BackendOptions>>) {
      return read_backends(node, expected);
    }
  }

  // Fills a section from a mapping in which every key must be known.
  template <class Section>
  void bind(const Yaml& map, const std::string& path, Section& section) {
    if (map.is_null()) return;
    if (!map.is_map()) return report_unexpected(map, path, "a mapping", findings_);
    report_duplicate_keys(map, path, findings_);
    for (const YamlEntry& entry : map.entries) {
      bool known = false;
      for_each_member(section, [&](auto& member) {
        if (known || name_of(member) != entry.key) return;
        known = true;
        bind_member(member, entry.value, path + "." + entry.key);
      });
      if (!known) report_unknown_key(entry, path, member_names(section));
    }
  }

 private:
  template <class T>
  static constexpr bool may_be_null = !std::is_arithmetic_v<T> && !std::is_same_v<T, Seconds> &&
                                      !std::is_same_v<T, Servers> && !std::is_same_v<T, GpuChoice>;

  template <class Member>
  void bind_member(Member& member, const Yaml& node, const std::string& path) {
    if constexpr (is_key<Member>) {
      set(member, node, path);
    } else {
      bind(node, path, member);
    }
  }

  std::optional<GpuChoice> read_gpus(const Yaml& node, const Expectation& expected);
  std::optional<GpuChoice> read_gpu_list(const std::vector<std::string>& items, const Yaml& node,
                                         const Expectation& expected);
  std::optional<Servers> read_servers(const Yaml& node, const Expectation& expected);
  std::optional<std::vector<BackendOptions>> read_backends(const Yaml& node,
                                                           const Expectation& expected);
  void report_unknown_key(const YamlEntry& entry, const std::string& path,
                          const std::vector<std::string_view>& known);

  Source source_;
  Findings& findings_;
};

}  // namespace batchproxy
