// configs/describe.cc - options as aligned text and as Markdown.
#include "configs/describe.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "configs/key_tables.h"
#include "configs/schema/section.h"
#include "configs/text/nearest_name.h"
#include "configs/value_text.h"
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
  return name.ends_with("api_key") || name.ends_with("_token") || name.ends_with("password") ||
         name.ends_with("otlp_headers");
}

// A command with what stands behind a secret's flag masked.
std::vector<std::string> without_secrets(std::vector<std::string> words) {
  bool is_next = false;
  for (std::string& word : words) {
    const std::size_t flag = word.find('=');
    const bool is_flag = is_secret(with_underscores(word.substr(0, flag)));
    if (is_next) word = kMask;
    if (is_flag && flag != word.npos) word = word.substr(0, flag + 1) + kMask;
    is_next = is_flag && flag == word.npos;
  }
  return words;
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
    std::string shown = is_secret(name) && whole != "\"\"" ? kMask : shortened(whole);
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      shown = shortened(text_of(without_secrets(key.value)));
    }
    rows_.push_back({name, std::move(shown), origin_text(key.origin), whole, kHasParts});
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

  void add_member(const TracingOptions& tracing, const std::string& name) {
    add_section(tracing, name + ".");
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

std::string marked(const std::string& words) {
  return words.empty() ? "" : "`" + words + "`";
}

std::string table_row(const KeyText& key) {
  const std::string also = key.flag.empty() ? "" : marked(key.flag) + ", " + marked(key.variable);
  return "| " + marked(key.name) + " | " + key.type + " | " + marked(key.value) + " | " +
         (key.words.empty() ? key.range : marked(key.words)) + " | " + also + " | " + key.reload +
         " | " + key.meaning + " |\n";
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

std::string effective_json(const Options& options) {
  boost::json::array keys;
  const auto add = [&keys](const std::vector<Row>& rows, std::string_view section) {
    for (const Row& row : rows) {
      keys.emplace_back(boost::json::object{
          {"key", row.name}, {"value", row.value}, {"origin", row.origin}, {"section", section}});
    }
  };
  add(rows_of(options.worker, BackendsBy::kPlace), "shared with the workers' file");
  add(rows_of(options.proxy, BackendsBy::kPlace), "batchproxy");
  return boost::json::serialize(keys) + "\n";
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
  std::string text;
  for (const KeyTable& table : key_tables()) {
    text += (text.empty() ? "### " : "\n### ") + table.title +
            "\n\n| Key | Type | Default | Limits | Flag and variable | Reload | Meaning |\n"
            "|---|---|---|---|---|---|---|\n";
    for (const KeyText& key : table.keys) text += table_row(key);
  }
  return text;
}

}  // namespace batchproxy
