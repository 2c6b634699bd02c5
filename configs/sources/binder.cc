// configs/sources/binder.cc - lists of sections, unknown keys and duplicates.
#include "configs/sources/binder.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include "configs/text/items.h"
#include "configs/text/ranges.h"
#include "configs/yaml/mistakes.h"

namespace batchproxy {
namespace {

// Where the file has a key of this name; empty if nowhere.
std::string_view home_of(std::string_view name) {
  static const Options defaults;
  const auto has = [name](const std::vector<std::string_view>& names) {
    return std::ranges::find(names, name) != names.end();
  };
  if (has(member_names(defaults.worker))) return "model.generator_settings";
  if (has(member_names(defaults.proxy.launcher))) return "batchproxy.launcher";
  if (has(member_names(defaults.proxy.jobs))) return "batchproxy.jobs";
  if (has(member_names(defaults.proxy.tls))) return "batchproxy.tls";
  if (has(member_names(defaults.proxy.access_log))) return "batchproxy.access_log";
  if (has(member_names(defaults.proxy.tracing))) return "batchproxy.tracing";
  if (has(member_names(defaults.proxy))) return "batchproxy";
  return {};
}

std::vector<std::string> expand_ranges(const std::vector<std::string>& items) {
  std::vector<std::string> indices;
  for (const std::string& item : items) {
    for (std::string& index : expand_range(item)) indices.push_back(std::move(index));
  }
  return indices;
}

// "0-3": a digit, and a dash behind it.
bool begins_like_range(std::string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789");
  return digits != text.npos && digits > 0 && text[digits] == '-';
}

}  // namespace

void report_duplicate_keys(const Yaml& map, const std::string& path, Findings& findings) {
  std::map<std::string_view, const YamlEntry*> seen;
  for (const YamlEntry& entry : map.entries) {
    const auto [first, is_new] = seen.emplace(entry.key, &entry);
    if (is_new) continue;
    findings.error(entry.key_place, "duplicate key '" + entry.key + "' in " + path +
                                        "; it already stands in line " +
                                        std::to_string(first->second->key_place.line));
  }
}

std::optional<GpuChoice> Binder::read_gpus(const Yaml& node, const Expectation& expected) {
  if (node.is_list() && !node.items.empty()) {
    auto listed = read_strings(node, expected, findings_);
    if (!listed) return std::nullopt;
    return read_gpu_list(*listed, node, expected);
  }
  // "4,5,6,7" and "GPU-8932f937", as CUDA_VISIBLE_DEVICES has them, and "0-3".
  const bool is_text_list =
      node.is_scalar() &&
      (node.text.find(',') != std::string::npos || node.text.starts_with("GPU-") ||
       node.text.starts_with("MIG-") || begins_like_range(node.text));
  if (is_text_list) {
    const std::vector<std::string> listed = items_between_commas(node.text);
    if (!listed.empty()) return read_gpu_list(listed, node, expected);
  }
  const auto count = read_integer(node, expected, findings_);
  return count ? std::optional<GpuChoice>(*count) : std::nullopt;
}

std::optional<GpuChoice> Binder::read_gpu_list(const std::vector<std::string>& items,
                                               const Yaml& node, const Expectation& expected) {
  std::vector<std::string> gpus = expand_ranges(items);
  const auto bad = std::ranges::find_if(gpus, begins_like_range);
  if (bad == gpus.end()) return gpus;
  findings_.error(node.place, expected.path + ": '" + *bad +
                                  "' is no range of GPUs; write the first and the last, as in 0-3");
  return std::nullopt;
}

std::optional<Servers> Binder::read_servers(const Yaml& node, const Expectation& expected) {
  if (node.is_scalar() && node.text == "auto") return AutoServers{};
  if (node.is_scalar() && parse_integer(node.text)) {
    const auto count = read_integer(node, expected, findings_);
    return count ? std::optional<Servers>(*count) : std::nullopt;
  }
  if (!node.is_list() || node.items.empty()) {
    report_unexpected(node, expected.path, "a number of engines, `auto`, or a list of engines",
                      findings_);
    return std::nullopt;
  }
  std::vector<ServerOptions> servers;
  for (const Yaml& item : node.items) {
    const std::string path = expected.path + "[" + std::to_string(servers.size()) + "]";
    bind(item, path, servers.emplace_back());
  }
  return servers;
}

std::optional<std::vector<BackendOptions>> Binder::read_backends(const Yaml& node,
                                                                 const Expectation& expected) {
  if (!node.is_list()) {
    report_unexpected(node, expected.path, "a list of engines, each after a '- '", findings_);
    return std::nullopt;
  }
  std::vector<BackendOptions> backends;
  for (const Yaml& item : node.items) {
    const std::string path = expected.path + "[" + std::to_string(backends.size()) + "]";
    BackendOptions& backend = backends.emplace_back();
    if (item.is_scalar()) {
      set(backend.url, item,
          path);  // `- http://node1:8000` is short for `- url: http://node1:8000`
      continue;
    }
    bind(item, path, backend);
    if (item.is_map() && !backend.url.is_set())
      findings_.error(item.place, path + ": url is missing");
  }
  return backends;
}

void Binder::report_unknown_key(const YamlEntry& entry, const std::string& path,
                                const std::vector<std::string_view>& known) {
  std::string hint = suggestion(entry.key, known);
  if (const std::string_view glued = glued_key(entry.key); !glued.empty()) {
    hint = "; a blank is missing after '" + std::string(glued) + "'";
  }
  if (const std::string_view home = home_of(entry.key); hint.empty() && !home.empty()) {
    hint = "; it belongs under " + std::string(home);
  }
  findings_.error(entry.key_place, "unknown key '" + entry.key + "' in " + path +
                                       (hint.empty() ? "; known are: " + join(known) : hint));
}

}  // namespace batchproxy
