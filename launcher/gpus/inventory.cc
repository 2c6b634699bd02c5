// launcher/gpus/inventory.cc - see inventory.h.
#include "launcher/gpus/inventory.h"

namespace batchproxy {

std::string to_string(const GpuConnection& connection) {
  switch (connection.path) {
    case GpuPath::kSelf:
      return "X";
    case GpuPath::kNvlink:
      return "NV" + std::to_string(connection.links);
    case GpuPath::kPix:
      return "PIX";
    case GpuPath::kPxb:
      return "PXB";
    case GpuPath::kPhb:
      return "PHB";
    case GpuPath::kNode:
      return "NODE";
    case GpuPath::kSys:
      return "SYS";
    case GpuPath::kUnknown:
      break;
  }
  return "?";
}

std::vector<int> Inventory::nvlink_neighbours(int index) const {
  std::vector<int> neighbours;
  for (std::size_t from = 0; from < topology.size(); ++from) {
    if (gpus[from].index != index) continue;
    for (std::size_t to = 0; to < topology[from].size(); ++to) {
      if (topology[from][to].path == GpuPath::kNvlink) neighbours.push_back(gpus[to].index);
    }
  }
  return neighbours;
}

std::string cuda_version_text(int cuda) {
  return std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10);
}

}  // namespace batchproxy
