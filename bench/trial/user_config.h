// bench/trial/user_config.h - the configuration whose engines are tried, and the GPUs that they are
// tried on.
//
// Threading: find_box() may ask the driver, and blocks; the rest are pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bench/advice/topology.h"
#include "bench/policy/world.h"
#include "configs/schema/options.h"
#include "configs/yaml/tree.h"

namespace batchproxy::bench {

// As a tree that is edited, and as options that are understood.
struct UserConfig {
  std::string name{};  // for people
  Yaml tree{};
  Options options{};
  std::vector<std::string> problems{};  // sentences; none: it can be used
};
UserConfig read_user_config(const std::string& text, const std::string& name);

// What flags say of the GPUs.
struct BoxWish {
  std::size_t simulated_gpus = 0;  // 0: the machine's, or simulated ones where it has none
  std::string hardware{};          // of simulated engines; empty: as the file says
  double time_scale = 0;           // likewise; 0: as the file says
};

struct Box {
  std::size_t gpus = 8;
  bool simulated = false;
  std::string why{};  // it is simulated; for people
  std::string hardware = "a100";
  double time_scale = 1;

  std::string card() const { return hardware == "h100" ? "H100" : "A100"; }
};
Box find_box(const BoxWish& wish, const Options& options, const std::string& program);

// GPUs of an engine for each of its tensor_parallel_size.
std::size_t stages_of(const Options& options);

// Those of the box, or those with these names ("4xTP2"). Throws std::runtime_error when none is
// left.
std::vector<Topology> wanted_topologies(const std::vector<std::string>& names, const Box& box,
                                        const Options& options);

// The same engines in virtual time.
WorldOptions world_of(const Topology& topology, const Box& box, const Options& options);

}  // namespace batchproxy::bench
