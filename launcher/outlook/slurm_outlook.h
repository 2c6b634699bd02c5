// launcher/outlook/slurm_outlook.h - what scontrol and sinfo tell of our allocation, and whether
// the engines fit into it.
//
// Threading: pure functions over values, but for slurm_outlook() and slurm_obstacle(), which block
// for a few seconds at most.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/finding.h"
#include "launcher/base/machine.h"
#include "launcher/outlook/room.h"
#include "launcher/placement/slurm_text.h"

namespace batchproxy {

struct SlurmAllocation {
  SlurmJob job;
  std::vector<NodeRoom> nodes{};
};

// What `scontrol --oneliner --details show job ID` writes; nothing when it is none.
std::optional<SlurmAllocation> parse_scontrol_job(std::string_view text);

// "n[1-3,08],m1" -> n1 n2 n3 n08 m1
std::vector<std::string> expand_host_list(std::string_view text);

// Of an allocation, its nodes as sinfo tells them, and engines that need so many GPUs each.
std::vector<Finding> slurm_findings(const std::string& job, const SlurmAllocation& allocation,
                                    const std::vector<SlurmNode>& nodes,
                                    const std::vector<std::size_t>& needs);

// Asks them; there is a job, and an srun.
std::vector<Finding> slurm_outlook(const Machine& machine, const std::vector<std::size_t>& needs);

// Why no engine can start in the job, or that nobody knows; nothing if they can.
std::optional<Finding> slurm_obstacle(const Machine& machine);

}  // namespace batchproxy
