// launcher/placement/exec_placement.h - the placement by a program of the user's: ssh, mpiexec, or
// any other that runs a command on a node.
//
// Threading: see placement.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

// For the table; see placements.h.
std::vector<std::string> exec_lacks(const Options& options, const Environment& environment);
std::string exec_shown(const Options& options, const Environment& environment,
                       const AgentCall& call);
std::unique_ptr<Placement> make_exec_placement(const PlacementSetup& setup);

}  // namespace batchproxy
