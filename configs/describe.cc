// configs/describe.cc - options as aligned text and as Markdown.
#include "configs/describe.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "configs/schema/section.h"
#include "configs/text/nearest_name.h"
#include "configs/vllm/argument_flags.h"
#include "configs/vllm/arguments.h"
#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

constexpr std::size_t kLongestValue = 60;
constexpr const char* kMask = "********";

std::string shortened(std::string text) {
  const bool cut = text.size() > kLongestValue;
  if (cut) text.resize(kLongestValue - 3);
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return cut ? text + "..." : text;
}

bool is_secret(std::string_view name) {
  return name.ends_with("api_key") || name.ends_with("_token") || name.ends_with("password");
}

// The value as the file would have it; a list or mapping of ours has rows of its own instead.
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(std::int64_t value) {
  return std::to_string(value);
}
std::string text_of(double value) {
  return number_text(value);
}
std::string text_of(Seconds value) {
  return number_text(value.count());
}
std::string text_of(const std::string& value) {
  return value.empty() ? "\"\"" : value;
}
std::string text_of(const std::vector<std::string>& value) {
  return "[" + join({value.begin(), value.end()}) + "]";
}
std::string text_of(const Arguments& value) {
  return value.empty() ? "{}" : "";
}
std::string text_of(const std::vector<BackendOptions>& value) {
  return value.empty() ? "[]" : "";
}
std::string text_of(const Servers& value) {
  if (const auto* count = std::get_if<std::int64_t>(&value)) return std::to_string(*count);
  return std::holds_alternative<AutoServers>(value) ? "auto" : "";
}
std::string text_of(const GpuChoice& value) {
  if (const auto* count = std::get_if<std::int64_t>(&value)) return std::to_string(*count);
  return text_of(std::get<std::vector<std::string>>(value));
}
std::string text_of(const ArgumentValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return text_of(*flag);
  if (const auto* text = std::get_if<std::string>(&value)) return text_of(*text);
  if (const auto* json = std::get_if<JsonText>(&value)) return json->text;
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return list ? text_of(*list) : "null";
}

// ---- what is in force ----

struct Row {
  std::string name;
  std::string value;  // as it is shown
  std::string origin;
  std::string whole;       // nothing cut or masked: never to be shown
  bool has_parts = false;  // which have rows of their own
};

std::string origin_text(const Origin& origin) {
  return origin.source == Source::kDefault ? "default" : origin.detail;
}

// How the rows of one backend of a list are told from another's: as the file has them, or, where
// two files are compared and places shift, by URL.
enum class BackendsBy { kPlace, kUrl };

class EffectiveRows {
 public:
  explicit EffectiveRows(BackendsBy backends_by) : backends_by_(backends_by) {}

  template <class Section>
  void add_section(const Section& section, const std::string& path) {
    for_each_member(section, [&](const auto& member) {
      add_member(member, path + std::string(name_of(member)));
    });
  }

  std::vector<Row> take() && { return std::move(rows_); }

 private:
  template <class T>
  void add_member(const Key<T>& key, const std::string& name) {
    constexpr bool kHasParts =
        std::is_same_v<T, Arguments> || std::is_same_v<T, std::vector<BackendOptions>>;
    const std::string whole = text_of(key.value);
    const bool masked = is_secret(name) && whole != "\"\"";
    rows_.push_back(
        {name, masked ? kMask : shortened(whole), origin_text(key.origin), whole, kHasParts});
    add_parts(key.value, name);
  }
  void add_member(const LauncherOptions& launcher, const std::string& name) {
    add_section(launcher, name + ".");
  }
  void add_member(const JobsOptions& jobs, const std::string& name) {
    add_section(jobs, name + ".");
  }

  void add_member(const TlsOptions& tls, const std::string& name) { add_section(tls, name + "."); }
  void add_member(const AccessLogOptions& log, const std::string& name) {
    add_section(log, name + ".");
  }

  template <class T>
  void add_parts(const T&, const std::string&) {}
  void add_parts(const Arguments& arguments, const std::string& name) {
    for (const Argument& argument : arguments) {
      const bool masked = is_secret(with_underscores(argument.name));
      const std::string whole = text_of(argument.value);
      rows_.push_back(
          {name + "." + argument.name, masked ? kMask : shortened(whole), "", whole, false});
    }
  }
  void add_parts(const std::vector<BackendOptions>& backends, const std::string& name) {
    if (backends_by_ == BackendsBy::kPlace) return add_items(backends, name);
    for (const BackendOptions& backend : backends) {
      add_section(backend, name + "[" + *backend.url + "].");
    }
  }
  void add_parts(const Servers& servers, const std::string& name) {
    const auto* list = std::get_if<std::vector<ServerOptions>>(&servers);
    if (list) add_items(*list, name);
  }
  template <class Item>
  void add_items(const std::vector<Item>& items, const std::string& name) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      add_section(items[i], name + "[" + std::to_string(i) + "].");
    }
  }

  BackendsBy backends_by_;
  std::vector<Row> rows_;
};

template <class Section>
std::vector<Row> rows_of(const Section& section, BackendsBy backends_by) {
  EffectiveRows rows(backends_by);
  rows.add_section(section, "");
  return std::move(rows).take();
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string aligned(const std::vector<Row>& rows, std::size_t names, std::size_t values) {
  std::string text;
  for (const Row& row : rows) {
    std::string line =
        padded(row.name, names) + "  " + padded(row.value, values) + "  " + row.origin;
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

// ---- what may be written ----

std::string type_of(const Key<bool>&) {
  return "true or false";
}
std::string type_of(const Key<std::int64_t>&) {
  return "whole number";
}
std::string type_of(const Key<double>&) {
  return "number";
}
std::string type_of(const Key<Seconds>&) {
  return "seconds";
}
std::string type_of(const Key<std::string>& key) {
  return key.limits.words.empty() ? "text" : "word";
}
std::string type_of(const Key<std::vector<std::string>>&) {
  return "list of text";
}
std::string type_of(const Key<Arguments>&) {
  return "mapping";
}
std::string type_of(const Key<std::vector<BackendOptions>>&) {
  return "list";
}
std::string type_of(const Key<Servers>&) {
  return "number, `auto` or list";
}

std::string type_of(const Key<GpuChoice>&) {
  return "number or list";
}

std::string limits_text(const Limits& limits) {
  if (!limits.words.empty()) return "`" + join(limits.words) + "`";
  if (limits.min == 0 && limits.max == 0) return "";
  return number_text(limits.min) + " to " + number_text(limits.max);
}

std::string reload_text(Applies applies) {
  switch (applies) {
    case Applies::kOnReload:
      return "yes";
    case Applies::kAfterRestart:
      return "no";
    case Applies::kUnlessSourceChanges:
      return "same kind";
  }
  return "";
}

std::string flag_text(const KeyFlag& flag) {
  if (flag.name.empty()) return "";
  return "`" + std::string(flag.name) + "`, `" + std::string(flag.variable) + "`";
}

template <class T>
std::string table_row(const Key<T>& key, const std::string& path) {
  return "| `" + path + std::string(key.name) + "` | " + type_of(key) + " | `" +
         text_of(key.value) + "` | " + limits_text(key.limits) + " | " + flag_text(key.flag) +
         " | " + reload_text(key.applies) + " | " + std::string(key.help) + " |\n";
}

// Of arguments with flags: what else they are is vLLM's.
std::string argument_rows() {
  std::string text;
  for (const ArgumentFlag& row : kArgumentFlags) {
    text += "| `vllm_args." + std::string(row.argument) + "` | argument |  |  | " +
            flag_text(row.flag) + " | no | " + std::string(row.flag.help) + ". |\n";
  }
  return text;
}

template <class Section>
std::string table(const std::string& title, const std::string& path, const Section& section) {
  std::string text =
      "### " + title +
      "\n\n| Key | Type | Default | Limits | Flag and variable | Reload | Meaning |\n"
      "|---|---|---|---|---|---|---|\n";
  for_each_member(section, [&](const auto& member) {
    if constexpr (is_key<std::remove_cvref_t<decltype(member)>>) text += table_row(member, path);
  });
  return text;
}

}  // namespace

std::string show_effective(const Options& options) {
  const std::vector<Row> worker = rows_of(options.worker, BackendsBy::kPlace);
  const std::vector<Row> proxy = rows_of(options.proxy, BackendsBy::kPlace);
  std::size_t names = 0;
  std::size_t values = 0;
  for (const auto* rows : {&worker, &proxy}) {
    for (const Row& row : *rows) {
      names = std::max(names, row.name.size());
      values = std::max(values, row.value.size());
    }
  }
  return "# shared with the workers' file\n" + aligned(worker, names, values) + "\n# batchproxy\n" +
         aligned(proxy, names, values);
}

std::vector<Change> changes_between(const Options& from, const Options& to) {
  struct Both {
    Change shown;
    Change whole;
  };
  std::map<std::string, Both> changes;
  const auto note = [&](const Options& options, std::string Change::* side) {
    for (const auto& rows :
         {rows_of(options.worker, BackendsBy::kUrl), rows_of(options.proxy, BackendsBy::kUrl)}) {
      for (const Row& row : rows) {
        if (row.has_parts) continue;
        Both& both = changes[row.name];
        both.shown.key = row.name;
        both.shown.*side = row.value;
        both.whole.*side = row.whole;
      }
    }
  };
  note(from, &Change::from);
  note(to, &Change::to);
  std::vector<Change> different;
  for (auto& [key, both] : changes) {
    // That a backend comes or goes says its URL; what it had besides does not matter.
    const bool on_both_sides = !both.whole.from.empty() && !both.whole.to.empty();
    if (key.starts_with("backends[") && !key.ends_with(".url") && !on_both_sides) continue;
    if (both.whole.from != both.whole.to) different.push_back(std::move(both.shown));
  }
  return different;
}

std::string describe_keys() {
  const Options defaults;
  return table("Shared with the workers", "", defaults.worker) + argument_rows() + "\n" +
         table("The proxy", "batchproxy.", defaults.proxy) + "\n" +
         table("Engines that already run", "batchproxy.backends[].", BackendOptions{}) + "\n" +
         table("Engines to start", "batchproxy.launcher.", defaults.proxy.launcher) + "\n" +
         table("One kind of engine", "batchproxy.launcher.servers[].", ServerOptions{}) + "\n" +
         table("Files and batches", "batchproxy.jobs.", defaults.proxy.jobs) + "\n" +
         table("TLS", "batchproxy.tls.", defaults.proxy.tls) + "\n" +
         table("A line for each request", "batchproxy.access_log.", defaults.proxy.access_log);
}

}  // namespace batchproxy
