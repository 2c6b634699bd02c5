// launcher/plan/engine_plan.h - what to start: one EnginePlan for each engine, worked out before
// anything runs, so that `--dry-run` shows exactly what a real run would do.
//
// Threading: pure functions over values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/backend_set.h"
#include "configs/schema/options.h"
#include "configs/sources/environment.h"
#include "configs/vllm/version.h"
#include "launcher/base/result.h"
#include "launcher/gpus/gpu.h"

namespace batchproxy {

// How an engine's environment differs from ours. A name in both lists is set.
struct EnvironmentChanges {
  Environment set;
  std::vector<std::string> unset;
};

struct EnginePlan {
  int index = 0;          // among the engines, for its name and its command
  BackendId backend = 0;  // that it will be
  std::string name;       // "engine-0"; also the log file's name
  std::string model;      // what is loaded: a Hugging Face id or a directory
  std::vector<std::string>
      served_names;                     // what clients may send as `model`; a command may have none
  std::vector<std::string> adapters{};  // LoRA adapters that it serves beside, by name
  Gpus gpus;                            // empty when the engine is not pinned to any
  std::string host = "127.0.0.1";
  int port = 0;
  // It runs on another node, where its agent finds its address and fills it into the command, as it
  // does with its GPUs: so many that others choose.
  bool is_far = false;
  std::size_t far_gpus = 0;
  std::int64_t max_num_seqs = 0;
  Arguments arguments{};             // as the user has them, for this version of vLLM
  std::optional<Version> version{};  // of vLLM, if known
  std::vector<std::string> argv;     // argv[0] as configured; resolve_executables() makes it a path
  EnvironmentChanges environment;
  std::string identity{};     // equal for commands that start the same engine on the same port
  bool runs_already = false;  // it was kept by an earlier batchproxy, whose log is its own
  std::string log_file;
  int log_descriptor = -1;             // open and locked, by EngineLogs
  std::vector<std::string> remarks{};  // what of its arguments this version of vLLM takes otherwise
};

// What stands for the address in the command of an engine of another node, until its agent fills it
// in.
inline constexpr std::string_view kHostToFill = "{host}";
inline constexpr std::string_view kPortToFill = "{port}";
// "8100", or what stands for it.
std::string port_text(const EnginePlan& plan);

// Facts that the planner may not find out by itself.
struct PlanContext {
  Gpus gpus;                    // from find_gpus(); ignored for simulated engines
  Environment inherited;        // our own environment
  std::string self_executable;  // the batchproxy program, which is also the simulated engine
  std::string run_id;           // unique to this run; marks our engines' environments
  std::optional<Version>
      vllm{};          // the installed one; arguments stay as written where none is known
  unsigned cores = 0;  // of this machine, for `profile: cpu`; 0 when unknown
  std::function<OrError<int>()> next_port;
  // The port of an engine of that name which an earlier batchproxy has kept.
  std::function<std::optional<int>(const std::string& engine)> kept_port = [](const std::string&) {
    return std::optional<int>();
  };
};

// The plans, or sentences that say what to change.
using EnginePlans = boost::system::result<std::vector<EnginePlan>, std::vector<std::string>>;

EnginePlans plan_engines(const Options& options, const PlanContext& context);

// The GPUs that engines may have, and none of `plans` has.
Gpus spare_gpus(const Options& options, const PlanContext& context,
                const std::vector<EnginePlan>& plans);

}  // namespace batchproxy
