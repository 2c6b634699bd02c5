// configs/yaml/tree.cc - builds the tree from yaml-cpp's parse events.
#include "configs/yaml/tree.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "configs/yaml/mistakes.h"

namespace batchproxy {
namespace {

// Far beyond any real file; aliases of aliases reach it long before they fill the memory.
constexpr std::size_t kMaxNodes = 200'000;

class Refused : public std::exception {
 public:
  Refused(Place place, std::string reason) : place_(std::move(place)), reason_(std::move(reason)) {}
  const char* what() const noexcept override { return reason_.c_str(); }
  const Place& place() const { return place_; }

 private:
  Place place_;
  std::string reason_;
};

std::size_t count_nodes(const Yaml& node) {
  std::size_t count = 1;
  for (const Yaml& item : node.items) count += count_nodes(item);
  for (const YamlEntry& entry : node.entries) count += count_nodes(entry.value);
  return count;
}

void merge_into(std::vector<YamlEntry>& entries, const Yaml& source) {
  for (const YamlEntry& entry : source.entries) {
    const bool taken =
        std::ranges::any_of(entries, [&](const YamlEntry& own) { return own.key == entry.key; });
    if (taken) continue;
    entries.push_back(entry);
    entries.back().merged = true;
  }
}

// `<<: *defaults` and `<<: [*a, *b]`: what the map itself says wins, then the earlier of the list.
void resolve_merge_keys(Yaml& map) {
  std::vector<Yaml> sources;
  std::erase_if(map.entries, [&](YamlEntry& entry) {
    if (entry.key != "<<") return false;
    if (entry.value.is_map()) sources.push_back(std::move(entry.value));
    for (Yaml& item : entry.value.items) sources.push_back(std::move(item));
    return true;
  });
  for (const Yaml& source : sources) merge_into(map.entries, source);
}

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& file) : file_(file) {}

  Yaml take_root() && { return std::move(root_); }
  const Place& last_scalar() const { return last_scalar_; }
  // The innermost list or mapping that has begun and not ended; null between documents.
  const Yaml* innermost() const { return open_.empty() ? nullptr : &open_.back().node; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(seen_document_, true)) {
      throw Refused(place(mark), "a second document starts here; one file holds one document");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Yaml node;
    node.place = place(mark);
    add(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Yaml node = Yaml::scalar(value, place(mark));
    last_scalar_ = node.place;
    node.plain = tag == "?";
    if (node.plain && (value == "null" || value == "Null" || value == "NULL" || value == "~")) {
      node.kind = Yaml::Kind::kNull;
    }
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused(place(mark), "an alias inside its own anchor");
    Yaml copy = found->second;
    nodes_ += count_nodes(copy);
    copy.place = place(mark);
    add(std::move(copy), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Yaml::Kind::kList, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Yaml::Kind::kMap, mark, anchor);
  }
  void OnMapEnd() override {
    resolve_merge_keys(open_.back().node);
    close();
  }

 private:
  struct Open {
    Yaml node;
    YAML::anchor_t anchor = 0;
    std::optional<Yaml> key;  // of a map: read, and waiting for its value
  };

  Place place(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  void open(Yaml::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    Open opened;
    opened.node.kind = kind;
    opened.node.place = place(mark);
    opened.anchor = anchor;
    open_.push_back(std::move(opened));
  }

  void close() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    add(std::move(closed.node), closed.anchor);
  }

  void add(Yaml node, YAML::anchor_t anchor) {
    if (anchor != 0) nodes_ += count_nodes(node);  // the copy that is kept for its aliases
    if (++nodes_ > kMaxNodes) throw Refused(node.place, "too many values for a configuration file");
    if (anchor != 0) anchors_.insert_or_assign(anchor, node);
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is_list()) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      parent.key = std::move(node);
    } else {
      parent.node.entries.push_back(
          {std::move(parent.key->text), std::move(parent.key->place), std::move(node)});
      parent.key.reset();
    }
  }

  std::string file_;
  Yaml root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Yaml> anchors_;
  Place last_scalar_;
  std::size_t nodes_ = 0;
  bool seen_document_ = false;
};

void feed(std::string_view text, TreeBuilder& builder) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(builder)) {
  }
}

// yaml-cpp's reasons are its parser's; those of the commonest slips are put as the reader sees
// them.
void report(const YAML::Exception& failure, std::string_view text, const std::string& file,
            const TreeBuilder& builder, Findings& findings) {
  Place place{file, failure.mark.line + 1, failure.mark.column + 1};
  std::string reason = failure.msg;
  const bool list = failure.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
  if (auto slip = find_slip(text, place.line, place.column, failure.msg)) {
    place = {file, slip->line, slip->column};
    reason = std::move(slip->reason);
  } else if ((list || failure.msg == YAML::ErrorMsg::END_OF_MAP_FLOW) && builder.innermost()) {
    place = builder.innermost()->place;
    reason = list ? "after the '[' that opens here, ']' or a comma is missing"
                  : "after the '{' that opens here, '}' or a comma is missing";
  }
  findings.error(place, "not valid YAML: " + reason);
}

// yaml-cpp takes an unclosed quote for closed where the file ends in a line break, and swallows all
// keys after it. Without the break it complains.
void refuse_unclosed_quote(std::string_view text, const std::string& file, const Place& last) {
  TreeBuilder again(file);
  try {
    feed(text.substr(0, text.find_last_not_of(" \t\r\n") + 1), again);
  } catch (const YAML::Exception& failure) {
    if (failure.msg != YAML::ErrorMsg::EOF_IN_SCALAR) return;
    throw Refused(last, "not valid YAML: the quote that opens here is never closed");
  }
}

}  // namespace

const YamlEntry* Yaml::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &YamlEntry::key);
  return found == entries.end() ? nullptr : &*found;
}

Yaml Yaml::scalar(std::string text, Place place) {
  Yaml node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  node.plain = true;
  node.place = std::move(place);
  return node;
}

bool same_content(const Yaml& left, const Yaml& right) {
  const auto same_entry = [](const YamlEntry& a, const YamlEntry& b) {
    return a.key == b.key && same_content(a.value, b.value);
  };
  return left.kind == right.kind && left.text == right.text && left.plain == right.plain &&
         std::ranges::equal(left.items, right.items, same_content) &&
         std::ranges::equal(left.entries, right.entries, same_entry);
}

std::optional<Yaml> parse_yaml(std::string_view text, const std::string& file, Findings& findings) {
  TreeBuilder builder(file);
  try {
    feed(text, builder);
    refuse_unclosed_quote(text, file, builder.last_scalar());
    return std::move(builder).take_root();
  } catch (const Refused& refused) {
    findings.error(refused.place(), refused.what());
  } catch (const YAML::Exception& failure) {
    report(failure, text, file, builder, findings);
  } catch (const std::exception& failure) {
    findings.error({file}, std::string("not valid YAML: ") + failure.what());
  }
  return std::nullopt;
}

}  // namespace batchproxy
