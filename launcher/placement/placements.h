// launcher/placement/placements.h - the table of placements: a row for each word of
// launcher.placement but `local`.
//
// Threading: any thread; no state.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

struct PlacementRow {
  std::string_view name;  // as in launcher.placement
  // What keeps it from working here and now, in sentences: a program that is not there, no
  // allocation. `environment` is our own. Asks nobody on the network: launcher/outlook/ does.
  std::vector<std::string> (*lacks)(const Options& options, const Environment& environment);
  // How it would bring that agent to a node, for --dry-run: a line that can be pasted, or a
  // comment.
  std::string (*shown)(const Options& options, const Environment& environment,
                       const AgentCall& call);
  std::unique_ptr<Placement> (*make)(const PlacementSetup& setup);
};

// The row of launcher.placement; null for `local`.
const PlacementRow* placement_row(const Options& options);

}  // namespace batchproxy
