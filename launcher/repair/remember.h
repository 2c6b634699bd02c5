// launcher/repair/remember.h - the repairs with which engines came up, kept in a small file over
// restarts: the next start of that model on that GPU begins with them.
//
// What a file says is taken only if next_repair() could have said it: a flag or variable that it
// never changes does not reach an engine from here.
//
// Threading: confined to one thread. Only load() and save() touch the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/diagnosis/cause.h"
#include "launcher/repair/repair.h"

namespace batchproxy {

// What a repair holds for. Another version of vLLM has other needs.
struct RepairKey {
  std::string model;
  std::string gpu;      // its name, and how many: "NVIDIA H100 80GB HBM3 x2"
  std::string version;  // vLLM's

  friend bool operator==(const RepairKey&, const RepairKey&) = default;
};

struct RememberedRepair {
  Cause cause = Cause::kCount;  // why
  RepairKind kind = RepairKind::kCount;
  std::vector<RepairChange> changes;
  std::string sentence;

  friend bool operator==(const RememberedRepair&, const RememberedRepair&) = default;
};

class RepairMemory {
 public:
  // From a file's text; what is wrong in it is left out. An empty text is an empty memory.
  static RepairMemory parse(std::string_view json);
  std::string to_json() const;

  // The repairs for `key`, in the order in which they were made.
  const std::vector<RememberedRepair>& repairs_for(const RepairKey& key) const;

  // Adds one. An earlier one of its kind is replaced: it was not enough.
  void remember(const RepairKey& key, RememberedRepair repair);

  // Of this model on this GPU nothing is known any more.
  void forget(const RepairKey& key);

  // The memory in the file, empty if there is none. Nothing if it is there and cannot be read.
  static std::optional<RepairMemory> load(const std::string& path);

  // Replaces the file at once, or not at all: whoever reads it meanwhile sees the old one or the
  // new. Makes its directory. The reason if it cannot, else empty.
  std::string save(const std::string& path) const;

  friend bool operator==(const RepairMemory&, const RepairMemory&) = default;

 private:
  struct Entry {
    RepairKey key;
    std::vector<RememberedRepair> repairs;

    friend bool operator==(const Entry&, const Entry&) = default;
  };

  std::vector<Entry> entries_;  // the newest last
};

}  // namespace batchproxy
