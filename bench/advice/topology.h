// bench/advice/topology.h - Topology: how the GPUs of a machine are shared out among engines.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace batchproxy::bench {

struct Topology {
  std::size_t engines = 1;
  int tensor_parallel = 1;  // vLLM's tensor_parallel_size of each

  friend bool operator==(const Topology&, const Topology&) = default;
};

// "4 x TP2", and "4xTP2" for the name of a folder.
std::string words_of(const Topology& topology);
std::string folder_of(const Topology& topology);

// All ways to share out `gpus` evenly: one engine over all of them first, one for each GPU last.
// Sizes are powers of two, as the heads of nearly every model can be split by these and by little
// else. `stages`: of GPUs that an engine takes `tensor_parallel` times (pipeline stages).
std::vector<Topology> topologies_of(std::size_t gpus, std::size_t stages = 1);

}  // namespace batchproxy::bench
