// launcher/placement/slurm_text.h - what is said to Slurm's programs, and what they say.
//
// Threading: pure functions over values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

// The allocation in which we run: $SLURM_JOB_ID; empty where there is none.
std::string slurm_job(const Environment& environment);

// A step of it for one agent: one task on one node, its GPUs and its share of a node's cores, and
// all memory, of which other steps may have as well. `extra` comes behind, so it wins.
std::vector<std::string> srun_command(const AgentCall& call, const Environment& environment,
                                      const std::vector<std::string>& extra);

// `environment` without what the allocation asked for as a whole, which each step would take as
// said to it.
Environment srun_environment(Environment environment);

// "1-02:03:04", "02:03:04", "03:04", as squeue tells how much time is left; nothing for "UNLIMITED"
// and all that is no time.
std::optional<std::chrono::seconds> parse_slurm_time(std::string_view text);

// "59 min", "2 h 5 min", "45 s": for people.
std::string time_text(std::chrono::seconds time);

// What squeue tells of a job in kSqueueFormat.
inline constexpr const char* kSqueueFormat = "%T|%L|%N";
struct SlurmJob {
  std::string state;                           // "RUNNING"
  std::optional<std::chrono::seconds> left{};  // until its time limit; nothing: it has none
  std::string nodes{};                         // "n[1-2]"

  // No step begins in it any more.
  bool has_ended() const;
};
std::optional<SlurmJob> parse_squeue(std::string_view line);

// A line of sinfo in kSinfoFormat.
inline constexpr const char* kSinfoFormat = "%N|%T|%E";
struct SlurmNode {
  std::string name;
  std::string state;   // "allocated", "draining", "down*"
  std::string reason;  // "none", or why somebody took it out

  // No step starts there now.
  bool is_out() const;
};
std::optional<SlurmNode> parse_sinfo(std::string_view line);

// srun waits for room and says so; whoever waits for it should go on.
bool is_waiting(std::string_view line);

// What to do about that line of srun or scontrol; empty where there is nothing to say.
std::string_view slurm_advice(std::string_view line);
// Whether the line says that there is no such allocation any more.
bool says_it_has_ended(std::string_view line);

}  // namespace batchproxy
