// bench/advice/topology.cc - see topology.h.
#include "bench/advice/topology.h"

#include <bit>

#include <fmt/format.h>

namespace batchproxy::bench {

std::string words_of(const Topology& topology) {
  return fmt::format("{} x TP{}", topology.engines, topology.tensor_parallel);
}

std::string folder_of(const Topology& topology) {
  return fmt::format("{}xTP{}", topology.engines, topology.tensor_parallel);
}

std::vector<Topology> topologies_of(std::size_t gpus, std::size_t stages) {
  std::vector<Topology> topologies;
  if (gpus == 0 || stages == 0) return topologies;
  for (std::size_t size = std::bit_floor(gpus / stages); size > 0; size /= 2) {
    topologies.push_back({gpus / (size * stages), static_cast<int>(size)});
  }
  return topologies;
}

}  // namespace batchproxy::bench
