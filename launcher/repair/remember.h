// launcher/repair/remember.h - the repairs with which engines came up, kept in a small file over
// restarts: the next start of that model on that GPU begins with them.
//
// What a file says is taken only if next_repair() could have said it: a flag or variable that it
// never changes does not reach an engine from here.
//
// Threading: RepairMemory is a plain value. The functions with a path may be called from any thread
// and any process: writers wait for each other, readers see a whole file.
#pragma once

#include <cstddef>
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
  // From a file's text, "" for an empty one; what is wrong in it is left out. Nothing if it is none
  // of ours.
  static std::optional<RepairMemory> parse(std::string_view json);
  std::string to_json() const;

  // The repairs for `key`, in the order in which they were made.
  const std::vector<RememberedRepair>& repairs_for(const RepairKey& key) const;

  // For people: what engines of `model` came up with, on whatever GPU.
  std::vector<std::string> sentences_for(std::string_view model) const;

  // Adds one. An earlier one of its kind is replaced: it was not enough.
  void remember(const RepairKey& key, RememberedRepair repair);

  // Of this model, on whatever GPU, nothing is known any more. How many repairs that were.
  std::size_t forget(std::string_view model);

  friend bool operator==(const RepairMemory&, const RepairMemory&) = default;

 private:
  struct Entry {
    RepairKey key;
    std::vector<RememberedRepair> repairs;

    friend bool operator==(const Entry&, const Entry&) = default;
  };

  std::vector<Entry> entries_;  // the newest last
};

// $XDG_STATE_HOME/batchproxy/repairs.json, else under ~/.local/state; "" without a home.
std::string repairs_file();

struct ReadRepairs {
  RepairMemory memory;
  std::string warning;  // one sentence; empty when all is well, or there is no file yet
};
ReadRepairs read_repairs(const std::string& path);

// Into the file. One that cannot be used is set aside as PATH.broken first. A warning for the log,
// empty when nothing went wrong.
std::string remember_repair(const std::string& path, const RepairKey& key,
                            const RememberedRepair& repair);

struct ForgottenRepairs {
  std::size_t count = 0;
  std::string warning;
};

// Those of `model` out of the file, likewise.
ForgottenRepairs forget_repairs(const std::string& path, std::string_view model);

}  // namespace batchproxy
