// bench/advice/trial_config.h - configurations made of the user's own: one for each topology that
// is tried, and the one that is advised.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bench/advice/topology.h"
#include "configs/yaml/tree.h"

namespace batchproxy::bench {

// Where a trial's engines run, and where they keep their logs.
struct TrialScene {
  std::string folder{};
  bool simulated = false;
  std::size_t gpus = 8;           // simulated
  std::string hardware = "a100";  // of simulated engines
  double time_scale = 1;          // real seconds for each of theirs
};

// A file for a model alone: `name` is a Hugging Face id or a directory.
Yaml config_for_model(const std::string& name);

// The user's file, but that batchproxy starts the engines. Throws as the next one does.
std::string launching_config(Yaml user);

// The user's file with these engines, in the scene. What would outlive the trial, or speak of it to
// others, is left out: engines that are kept, the access log, traces, other backends. Throws
// std::runtime_error when the file is written so that the engines cannot be set.
std::string trial_config(Yaml user, const Topology& topology, const TrialScene& scene);

// The user's file with these engines, and with so many workers. `remarks` become comments at its
// beginning.
std::string advised_config(Yaml user, const Topology& topology, std::size_t workers,
                           const std::vector<std::string>& remarks);

// How the advised file begins, by which a later run knows that it may write it anew.
inline constexpr std::string_view kAdvisedMark = "# Advised by batchproxy-bench";

}  // namespace batchproxy::bench
