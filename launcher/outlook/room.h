// launcher/outlook/room.h - do the engines fit on the nodes that there are?
//
// Threading: pure functions over values.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace batchproxy {

struct NodeRoom {
  std::string name;
  std::size_t gpus = 0;  // that engines may have
};

// Whether engines that need so many GPUs each, all of one node, find room, and how that was found:
// "2 nodes of 8 GPUs (n1, n2): 8 engines of 2 GPUs fit".
struct Fit {
  bool fits = true;
  std::string text;
};
Fit fit_engines(std::vector<std::size_t> needs, const std::vector<NodeRoom>& nodes);

// "n1, n2, n3 and 61 more"
std::string some_of(const std::vector<std::string>& names);

}  // namespace batchproxy
