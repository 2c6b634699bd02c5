// configs/worker/worker_keys.h - finds the keys that we share with the scoring workers in their own
// file.
//
// Their schema nests; files in use also hold the same keys one level up, or bare. Everything else
// in the file belongs to the workers and is not looked at, `rag.retriever_config.batch_size` above
// all.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/options.h"
#include "configs/yaml/tree.h"

namespace batchproxy {

// A mapping of the file that may hold shared keys.
struct WorkerHome {
  const Yaml* map = nullptr;
  std::string path;                         // "model.generator_settings"; empty for the top level
  std::vector<std::string_view> shared;     // the names that we read here
  std::vector<std::string_view> landmarks;  // other names that we would miss if misspelt
};

// Shared keys that may also stand at the top level, outside of any mapping.
const std::vector<std::string_view>& bare_worker_names();

// The keys that `root` has, the most nested first.
std::vector<WorkerHome> worker_homes(const Yaml& root);

// Reads the shared keys. Reports wrong types, duplicates, homes that contradict each other, and
// near misses of a shared name.
void read_worker_keys(const Yaml& root, WorkerOptions& options, Findings& findings);

}  // namespace batchproxy
