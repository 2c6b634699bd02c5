// configs/yaml/tree.h - a YAML document as a plain tree in which every key and value has a place.
//
// Only tree.cc knows yaml-cpp. Its own Node forgets what this program needs: where keys stand,
// which keys are written twice, and whether a scalar was quoted.
//
// Threading: any thread; a Yaml is a plain value.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/text/diagnostic.h"

namespace batchproxy {

struct YamlEntry;

struct Yaml {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;    // a scalar's value
  bool plain = false;  // a scalar without quotes: `true` is a boolean, `"true"` is not
  Place place;
  std::vector<Yaml> items;         // of a list
  std::vector<YamlEntry> entries;  // of a map, in the file's order; duplicates are kept

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }

  // The first entry of this map with that key; null when there is none or this is no map.
  const YamlEntry* find(std::string_view key) const;

  // Whether both say the same, wherever they stand and however they are laid out.
  friend bool same_content(const Yaml& left, const Yaml& right);

  // A value that was not read from a file.
  static Yaml scalar(std::string text, Place place);
};

struct YamlEntry {
  std::string key;
  Place key_place;
  Yaml value;
  bool merged = false;  // came through a merge key, `<<: *other`
};

// Reads the one document of `text`. On failure the findings say where and why. An empty document is
// a null value. Aliases and merge keys are resolved, as the workers' own parser does.
std::optional<Yaml> parse_yaml(std::string_view text, const std::string& file, Findings& findings);

}  // namespace batchproxy
