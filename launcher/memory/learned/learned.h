// launcher/memory/learned/learned.h - what earlier starts have taught about memory, kept in a small
// JSON file.
//
//   learn(path, key, budget);                    // after a start: read, merge, write
//   const Learned known = read_learned(path).learned;
//   const EngineBudget* before = known.find(key);
//
// The file holds other things of the launcher, too (repairs): members that are not ours stay as
// they are.
//
// Threading: Learned is a plain value. The functions with a path may be called from any thread and
// any process: writers wait for each other, readers see a whole file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/memory/learned/engine_budget.h"
#include "launcher/memory/model/not_planned.h"

namespace batchproxy {

// What a budget holds for. `flags` are those that change it, as learned_flags() writes them.
struct LearnedKey {
  std::string model;
  std::string gpu;      // its name
  std::string version;  // of the engine
  std::string flags;

  friend bool operator==(const LearnedKey&, const LearnedKey&) = default;
};

struct LearnedEntry {
  LearnedKey key;
  EngineBudget budget;
};

// Invariant: no key stands twice; the newest stands last.
class Learned {
 public:
  // The budget of just that key; null if there is none.
  const EngineBudget* find(const LearnedKey& key) const;

  // What `budget` tells replaces what was known; the rest stays. At most kMostEntries are kept.
  void merge(const LearnedKey& key, const EngineBudget& budget);

  const std::vector<LearnedEntry>& entries() const { return entries_; }

  static constexpr std::size_t kMostEntries = 256;

 private:
  std::vector<LearnedEntry> entries_;
};

// `text` is the file's; "" is an empty one. A reason if it cannot be used.
Planned<Learned> parse_learned(std::string_view text);

// `text` with its entries replaced by these.
Planned<std::string> with_learned(std::string_view text, const Learned& learned);

// $XDG_STATE_HOME/batchproxy/learned.json, else under ~/.local/state; "" without a home.
std::string learned_file();

struct ReadLearned {
  Learned learned;
  std::string warning;  // one sentence; empty when all is well, or there is no file yet
};
ReadLearned read_learned(const std::string& path);

// Merges into the file. A file that cannot be used is set aside as PATH.broken first. Returns a
// warning for the log, empty when nothing went wrong.
std::string learn(const std::string& path, const LearnedKey& key, const EngineBudget& budget);

}  // namespace batchproxy
