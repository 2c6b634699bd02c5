// bench/commands/policy_command.h - `batchproxy-bench policy`: its flags, and what it prints.
//
// Threading: the main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "bench/commands/run_command.h"

namespace batchproxy::bench {

// The user's own work instead of the grid's: a file of questions, or lengths and sharing.
struct OwnWork {
  bool wanted = false;
  WorkloadChoice questions{};
  int prompt_tokens = 0, output_tokens = 16, shared_tokens = 0;
  int max_num_seqs = 0, max_num_batched_tokens = 0;  // 0: vLLM's
  int max_model_len = 32768;
};

struct PolicyCommand {
  std::string grid = "default";
  std::vector<std::string> policies = {"default"};
  // Filters; empty lets everything pass.
  std::vector<std::string> hardware;
  std::vector<std::string> shapes;
  std::vector<std::string> workloads;
  std::vector<int> sharing;
  std::vector<std::size_t> workers;
  OwnWork own{};
  std::uint64_t seed = 1;  // of the requests
  std::size_t seeds = 1;   // from that one on
  std::string json;        // file to write
  unsigned threads = 0;
};

// Declares the subcommand; `command` receives what is given and must outlive `app`.
CLI::App* add_policy_command(CLI::App& app, PolicyCommand& command);

// The exit code: 0, or 1 when a promise is broken. Throws std::runtime_error for a file that cannot
// be written and for filters that leave nothing, and UnusableWorkload.
int run_policy_command(const PolicyCommand& command);

}  // namespace batchproxy::bench
