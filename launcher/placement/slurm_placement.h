// launcher/placement/slurm_placement.h - the placement by Slurm: each agent is a step of the
// allocation that we run in.
//
// It never asks for an allocation. What squeue and sinfo tell of the one there is, it says: when
// its time ends, at the start and again before; that a node of it is down or drained, and is well
// again.
//
// Threading: see placement.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

// For the table; see placements.h.
std::vector<std::string> slurm_lacks(const Options& options, const Environment& environment);
std::string slurm_shown(const Options& options, const Environment& environment,
                        const AgentCall& call);
std::unique_ptr<Placement> make_slurm_placement(const PlacementSetup& setup);

}  // namespace batchproxy
