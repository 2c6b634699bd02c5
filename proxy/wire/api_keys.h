// proxy/wire/api_keys.h - ApiKeys: the client keys of the configuration, and whose an Authorization
// is.
//
// One entry per line: `name key`, `name: key` or `name sha256:<64 hex digits>`; `#` begins a
// comment. The variable BATCHPROXY_API_KEYS has the same entries, with commas or line ends between
// them. Of a file only SHA-256 hashes are kept. A key is a random token of at least 16 characters,
// so a plain hash is as good as a slow one.
//
// Threading: immutable once made, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/options.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// Keys are counted one by one up to so many; the rest share the last slot.
inline constexpr std::size_t kMaxKeySlots = 256;

class ApiKeys {
 public:
  static constexpr std::size_t kShortestKey = 16;  // characters
  static constexpr std::size_t kMostKeys = kMaxKeySlots - 1;
  using Hash = std::array<unsigned char, 32>;

  struct Key {
    std::string name;
    Hash hash{};
    std::size_t slot = 0;  // in Metrics::by_key
  };

  // Adds the entries of `text`, found at `source` (a path, or a variable's name). What is wrong is
  // told in `findings`, by line and never with the key.
  void add(std::string_view text, const std::string& source, Findings& findings);

  // Gives each key a place to be counted at: the one of the same name in `previous`, which may be
  // null, or one that no other name has had. When all are taken, what is left shares the last one.
  void assign_slots(const ApiKeys* previous);

  bool empty() const { return keys_.empty(); }
  // The key in `Bearer <key>`, or null. Takes the same time whichever it is.
  const Key* find(std::string_view authorization) const;
  // The same for what stands behind `Bearer `.
  const Key* find_key(std::string_view key) const;
  // Every name that has had a slot of its own, by slot.
  const std::vector<std::string>& slot_names() const { return slot_names_; }
  const std::vector<Key>& all() const { return keys_; }

 private:
  void add_entry(std::string_view entry, const Place& place, Findings& findings);

  std::vector<Key> keys_;
  std::vector<std::string> slot_names_;
};

using ApiKeysPtr = std::shared_ptr<const ApiKeys>;

struct LoadedApiKeys {
  ApiKeysPtr keys;  // null when none are configured, or when they cannot be used
  std::vector<Diagnostic> diagnostics;
  bool ok() const;
};

// The changes of a reload, by name and never with a key: "API key alice: removed". Either
// may be null.
std::vector<std::string> changes_between(const ApiKeys* before, const ApiKeys* after);

// Reads what the options name: the file, the variable, or both. `previous` are those in force when
// this is a reload. A file that others may read, an unusable entry or no entry at all is an error.
LoadedApiKeys load_api_keys(const Options& options, const ApiKeys* previous = nullptr);

}  // namespace batchproxy
