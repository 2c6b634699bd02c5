// bench/commands/advise_command.h - `batchproxy-bench advise`: which topology for the user's
// questions. It starts one after the other, and measures each.
//
// Threading: the main thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "bench/commands/run_command.h"
#include "bench/trial/user_config.h"

namespace batchproxy::bench {

struct AdviseCommand {
  std::string config{}, model{};  // one of them
  WorkloadChoice workload{};
  std::size_t sample = 512;
  std::vector<std::size_t> workers{8, 32, 128};
  double duration = 20;                   // seconds, of each run
  std::vector<std::string> topologies{};  // "4xTP2"; empty: all
  BoxWish box{};
  std::string program{};
  std::string folder = "batchproxy_logs/advise";
  std::string out = "advised.yaml";
  std::string html{}, json{};  // files to write
  double timeout = 600;        // seconds, for an answer
  std::string ui = "auto";
};

CLI::App* add_advise_command(CLI::App& app, AdviseCommand& command);

// The exit code. Throws std::runtime_error when nothing can be started or written, and
// UnusableWorkload.
int run_advise_command(const AdviseCommand& command);

}  // namespace batchproxy::bench
