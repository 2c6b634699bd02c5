// configs/engine_wish.h - which engines are to be started, and how many GPUs they take:
// counted here once, for `check` and for the launcher's plan.
//
// Threading: pure functions over values.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "configs/schema/options.h"

namespace batchproxy {

// One engine before it has GPUs and a port.
struct EngineWish {
  std::string model;
  std::string second_name;
  Arguments arguments;
};

// Whether launcher.placement has engines run on other nodes.
bool runs_elsewhere(const Options& options);

// Whether engines get GPUs of this machine. Simulated ones need none, nor does `profile: cpu`, and
// a command only if it uses {gpus} or a parallel size is given.
bool needs_gpus(const Options& options);
// The same of the GPUs of other nodes.
bool needs_far_gpus(const Options& options);

// launcher.gpus, or the one of launcher.gpu: the later source of the two, see `Source`.
GpuChoice asked_gpus(const Options& options);
// Whether there is a word about that at all: by number, or each by its name.
bool names_gpus(const Options& options);

// Whether launcher.profile is `auto` and so can do without any GPU.
bool may_do_without_gpus(const Options& options);

// Makes `auto` of launcher.profile one of the other words, once the number of GPUs is known.
void settle_profile(Options& options, std::size_t gpus);

// How many there are as far as the options tell, on all nodes together; nothing when the driver has
// to be asked, or, of other nodes, their scheduler.
std::optional<std::size_t> told_gpus(const Options& options);

// In the order of launcher.servers. `auto` is as many as `gpus` allow, and at least one, so that
// too few for any are reported like every other shortage.
std::vector<EngineWish> wished_engines(const Options& options, std::size_t gpus);

// GPUs of one of them; 0 when it is not pinned to any.
std::size_t gpus_of(const EngineWish& wish, const Options& options);

// The advice when there are too few GPUs; empty when there are enough.
std::string gpu_shortage(const std::vector<EngineWish>& wishes, const Options& options,
                         std::size_t gpus);

// Tells of GPUs that no engine gets; empty when there are none, or when just that was asked for.
std::string gpus_left_over(const std::vector<EngineWish>& wishes, const Options& options,
                           std::size_t gpus);

}  // namespace batchproxy
