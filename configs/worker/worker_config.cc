// configs/worker/worker_config.cc - edits the lines that must change, then reads the result to
// check it.
#include "configs/worker/worker_config.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "configs/worker/worker_keys.h"
#include "configs/yaml/tree.h"

namespace batchproxy {
namespace {

struct Wanted {
  std::string name;
  std::string value;    // what the YAML means
  std::string written;  // how it is written
};

std::string quoted(std::string_view text) {
  std::string written = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') written += '\\';
    written += c;
  }
  return written + '"';
}

std::string written_host(const std::string& host) {
  const bool plain = std::ranges::all_of(
      host, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == '_'; });
  return plain ? host : quoted(host);
}

bool is_settings(const WorkerHome& home) {
  return home.path.ends_with("generator_settings");
}

// Those that stand in the file itself: one that came through `<<` is overridden, not edited, since
// its anchor may serve others.
std::vector<const YamlEntry*> own_entries(const std::vector<WorkerHome>& homes,
                                          std::string_view name) {
  std::vector<const YamlEntry*> entries;
  for (const WorkerHome& home : homes) {
    if (std::ranges::count(home.shared, name) == 0) continue;
    const YamlEntry* entry = home.map->find(name);
    if (entry && !entry->merged) entries.push_back(entry);
  }
  return entries;
}

struct Edit {
  Place place;
  std::size_t length = 0;  // of what is replaced
  std::string text;
};

// The file as lines that keep their endings.
class Lines {
 public:
  explicit Lines(std::string_view text) {
    while (!text.empty()) {
      const std::size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
      lines_.emplace_back(text.substr(0, length));
      text.remove_prefix(length);
    }
  }

  // From `place` to the end of its line, without the line's ending.
  std::string_view from(const Place& place) const {
    const auto index = static_cast<std::size_t>(place.line - 1);
    const auto column = static_cast<std::size_t>(place.column - 1);
    if (place.line < 1 || index >= lines_.size() || column > lines_[index].size()) return {};
    const std::string_view line = std::string_view(lines_[index]).substr(column);
    return line.substr(0, line.find_last_not_of("\r\n") + 1);
  }

  void apply(const Edit& edit) {
    lines_[static_cast<std::size_t>(edit.place.line - 1)].replace(
        static_cast<std::size_t>(edit.place.column - 1), edit.length, edit.text);
  }

  // Puts lines under or above that of `place`, indented like it. Places in that line are void then.
  void insert(const Place& place, bool below, const std::vector<std::string>& texts) {
    std::string& beside = lines_[static_cast<std::size_t>(place.line - 1)];
    const std::string ending = beside.ends_with("\r\n") ? "\r\n" : "\n";
    if (below && !beside.ends_with('\n')) beside += ending;
    std::string block;
    for (const std::string& text : texts) {
      block += std::string(static_cast<std::size_t>(place.column - 1), ' ') + text + ending;
    }
    beside.insert(below ? beside.size() : 0, block);
  }

  // Takes out line `first` and those behind it, up to line `end` (0: to the last), but for comments
  // at the margin right above `end`: they are about what follows.
  void cut(int first, int end) {
    const auto from = lines_.begin() + (first - 1);
    auto to = end == 0 ? lines_.end() : lines_.begin() + (end - 1);
    while (end != 0 && to != from && std::prev(to)->starts_with('#')) --to;
    lines_.erase(from, to);
  }

  std::string text() const {
    std::string all;
    for (const std::string& line : lines_) all += line;
    return all;
  }

 private:
  std::vector<std::string> lines_;
};

// How many characters the scalar takes at the start of `source`, if it is written there in one
// line.
std::optional<std::size_t> written_length(const Yaml& value, std::string_view source) {
  if (!value.is_scalar() || source.empty()) return std::nullopt;
  if (value.plain) {
    return source.starts_with(value.text) ? std::optional(value.text.size()) : std::nullopt;
  }
  const char quote = source.front();
  if (quote != '"' && quote != '\'') return std::nullopt;
  const std::size_t end = source.find(quote, 1);
  // An escaped quote inside would end the search early; then the text differs, and we decline.
  if (end == std::string_view::npos || source.substr(1, end - 1) != value.text) return std::nullopt;
  return end + 1;
}

// Where a missing key goes: under boot_local, else under the first value that fits in a line.
const YamlEntry* line_to_follow(const Yaml& settings, const Lines& lines) {
  const YamlEntry* chosen = nullptr;
  for (const YamlEntry& entry : settings.entries) {
    const bool in_one_line = !entry.merged && entry.key_place.line == entry.value.place.line &&
                             written_length(entry.value, lines.from(entry.value.place));
    if (in_one_line && (!chosen || entry.key == "boot_local")) chosen = &entry;
  }
  return chosen;
}

class Editor {
 public:
  Editor(std::string_view text, const std::string& file, std::vector<Wanted> wanted)
      : original_(text), file_(file), wanted_(std::move(wanted)), lines_(text) {}

  WorkerConfig run() {
    WorkerConfig result;
    Findings findings;
    if (auto root = parse_yaml(original_, file_, findings)) {
      result.text = edit(*root, findings);
    }
    result.diagnostics = std::move(findings).take();
    if (!result.ok()) result.text.clear();
    return result;
  }

 private:
  std::string edit(const Yaml& root, Findings& findings) {
    const std::vector<WorkerHome> homes = worker_homes(root);
    const auto settings = std::ranges::find_if(homes, is_settings);
    if (settings == homes.end()) {
      findings.error({file_}, "no generator_settings, so this is not a file for workers");
      return "";
    }
    want_model(homes);
    std::vector<Wanted> missing;
    for (const Wanted& wanted : wanted_) {
      const auto entries = own_entries(homes, wanted.name);
      if (entries.empty()) missing.push_back(wanted);
      for (const YamlEntry* entry : entries) replace(entry->value, wanted, findings);
    }
    add(*settings->map, missing);
    std::string text = lines_.text();
    if (!declined_ && !says_what_is_wanted(root, text)) decline({file_}, findings);
    return text;
  }

  // Workers must send a name that we serve; the model's own id is one.
  void want_model(const std::vector<WorkerHome>& homes) {
    const auto has = [&](std::string_view name) -> const Yaml* {
      for (const WorkerHome& home : homes) {
        if (std::ranges::count(home.shared, name) == 0) continue;
        const YamlEntry* entry = home.map->find(name);
        if (entry && entry->value.is_scalar()) return &entry->value;
      }
      return nullptr;
    };
    const Yaml* id = has("hf_model_id");
    if (id && !has("model")) wanted_.push_back({"model", id->text, quoted(id->text)});
  }

  void replace(const Yaml& value, const Wanted& wanted, Findings& findings) {
    const auto length = written_length(value, lines_.from(value.place));
    if (length) {
      edits_.push_back({value.place, *length, wanted.written});
    } else if (!declined_) {
      decline(value.place, findings);
    }
  }

  // Adds the missing keys and carries out the edits: those first, and from the end of the file to
  // its start, so that no edit moves the place of another.
  void add(const Yaml& settings, const std::vector<Wanted>& missing) {
    std::vector<std::string> texts;
    for (const Wanted& wanted : missing) texts.push_back(wanted.name + ": " + wanted.written);
    const bool in_braces = lines_.from(settings.place).starts_with('{');
    if (in_braces && !texts.empty()) {
      std::string text = "{";
      for (const std::string& each : texts) text += (text.size() > 1 ? ", " : "") + each;
      edits_.push_back({settings.place, 1, text + (settings.entries.empty() ? "" : ", ")});
    }
    const YamlEntry* beside = line_to_follow(settings, lines_);
    const auto position = [](const Edit& edit) {
      return std::pair(edit.place.line, edit.place.column);
    };
    std::ranges::sort(edits_, std::greater<>(), position);
    for (const Edit& edit : edits_) lines_.apply(edit);
    if (in_braces || texts.empty() || settings.entries.empty()) return;
    const bool below = beside != nullptr;
    lines_.insert(below ? beside->key_place : settings.entries.front().key_place, below, texts);
  }

  void decline(const Place& place, Findings& findings) {
    declined_ = true;
    std::string by_hand;
    for (const Wanted& wanted : wanted_) {
      by_hand += (by_hand.empty() ? "" : ", ") + wanted.name + ": " + wanted.written;
    }
    findings.error(place, "written in a way that cannot be edited safely; set by hand: " + by_hand);
  }

  // Reads the edited text again: the wanted keys must have their values, and nothing else may
  // differ.
  bool says_what_is_wanted(const Yaml& before, const std::string& text) const {
    Findings ignored;
    const auto after = parse_yaml(text, file_, ignored);
    if (!after) return false;
    const std::vector<WorkerHome> homes = worker_homes(*after);
    for (const Wanted& wanted : wanted_) {
      const auto entries = own_entries(homes, wanted.name);
      const bool good = std::ranges::all_of(
          entries, [&](const YamlEntry* entry) { return entry->value.text == wanted.value; });
      if (entries.empty() || !good) return false;
    }
    return same_content(without_wanted(before), without_wanted(*after));
  }

  Yaml without_wanted(Yaml root) const {
    remove(root, {"enable_batching"});
    for (YamlEntry& entry : root.entries) {
      if (entry.key == "generator_settings") remove_all(entry.value);
      if (entry.key != "model") continue;
      remove(entry.value, {"boot_local", "server", "port", "enable_batching"});
      for (YamlEntry& inner : entry.value.entries) {
        if (inner.key == "generator_settings") remove_all(inner.value);
      }
    }
    return root;
  }

  void remove_all(Yaml& map) const {
    std::vector<std::string_view> names;
    for (const Wanted& wanted : wanted_) names.push_back(wanted.name);
    remove(map, names);
  }

  static void remove(Yaml& map, const std::vector<std::string_view>& names) {
    std::erase_if(map.entries,
                  [&](const YamlEntry& entry) { return std::ranges::count(names, entry.key) > 0; });
  }

  const std::string original_;
  const std::string file_;
  std::vector<Wanted> wanted_;
  Lines lines_;
  std::vector<Edit> edits_;
  bool declined_ = false;
};

// `text` without its section for batchproxy. Nothing when that cannot be cut out by lines.
std::optional<std::string> without_own_section(std::string_view text, const std::string& file) {
  Findings ignored;
  const auto root = parse_yaml(text, file, ignored);
  if (!root) return std::string(text);  // whoever reads it next says why
  const auto own = std::ranges::find(root->entries, "batchproxy", &YamlEntry::key);
  if (own == root->entries.end()) return std::string(text);
  int end = 0;  // the line of the next key; 0: it is the last
  for (const YamlEntry& entry : root->entries) {
    const int line = entry.key_place.line;
    if (line > own->key_place.line && (end == 0 || line < end)) end = line;
  }
  Lines lines(text);
  lines.cut(own->key_place.line, end);
  const std::string kept = lines.text();
  const auto after = parse_yaml(kept, file, ignored);
  const bool gone = after && std::ranges::none_of(after->entries, [](const YamlEntry& entry) {
                      return entry.key == "batchproxy";
                    });
  return gone && after->entries.size() + 1 == root->entries.size() ? std::optional(kept)
                                                                   : std::nullopt;
}

}  // namespace

WorkerConfig make_worker_config(std::string_view text, const std::string& file,
                                const std::string& host, std::uint16_t port, bool asks_for_key) {
  // Workers paste the host into a URL, where an IPv6 address needs its brackets.
  const bool is_v6 = host.find(':') != std::string::npos && !host.starts_with('[');
  const std::string server = is_v6 ? "[" + host + "]" : host;
  const std::string number = std::to_string(port);
  std::vector<Wanted> wanted{{"boot_local", "false", "false"},
                             {"server", server, written_host(server)},
                             {"port", number, number},
                             {"enable_batching", "false", "false"}};
  if (asks_for_key) {
    wanted.push_back({"api_key", std::string(kKeyGoesHere), std::string(kKeyGoesHere)});
  }
  const auto theirs = without_own_section(text, file);
  if (!theirs) {
    Findings findings;
    findings.error({file},
                   "its `batchproxy:` section cannot be left out safely, and there may be "
                   "keys in it: write it as lines of its own, at the margin");
    return {{}, std::move(findings).take()};
  }
  return Editor(*theirs, file, std::move(wanted)).run();
}

}  // namespace batchproxy
