// bench/commands/sweep_command.h - `batchproxy-bench sweep`: tries settings of a running proxy, one
// after the other, through its own reload.
//
// Threading: the main thread.
#pragma once

#include <cstddef>
#include <string>

#include <CLI/App.hpp>

#include "bench/commands/run_command.h"
#include "bench/sweep/sweep_plan.h"

namespace batchproxy::bench {

struct SweepCommand {
  Target target{};
  WorkloadChoice workload{};
  SweepAxes axes{{8, 32, 128}, {"eager", "fixed"}, {"auto"}, {8, 16, 32}, {0.05, 0.5}};
  LoadOptions load{};
  std::size_t repeats = 3;
  std::string warm_up = "10%", cool_down = "10%";
  std::string out = "sweep.jsonl";  // what is measured; a sweep goes on from there
  std::string html{};
  std::string ui = "auto";
};

CLI::App* add_sweep_command(CLI::App& app, SweepCommand& command);

// The exit code. Throws std::runtime_error when the proxy cannot be asked, or refuses a setting,
// and for files that are of another sweep, or cannot be written.
int run_sweep_command(SweepCommand& command);

}  // namespace batchproxy::bench
