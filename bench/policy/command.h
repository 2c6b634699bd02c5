// bench/policy/command.h - `batchproxy-bench policy`: its flags, and what it prints.
//
// Threading: the main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace batchproxy::bench {

struct PolicyCommand {
  std::string grid = "default";
  std::vector<std::string> policies = {"default"};
  // Filters; empty lets everything pass.
  std::vector<std::string> hardware;
  std::vector<std::string> shapes;
  std::vector<std::string> workloads;
  std::vector<int> sharing;
  std::vector<std::size_t> workers;
  std::uint64_t seed = 1;  // of the requests
  std::string json;        // file to write
  unsigned threads = 0;
};

// Declares the subcommand; `command` receives what is given and must outlive `app`.
CLI::App* add_policy_command(CLI::App& app, PolicyCommand& command);

// The exit code: 0, or 1 when a promise is broken. Throws std::runtime_error for a file that cannot
// be written and for filters that leave nothing.
int run_policy_command(const PolicyCommand& command);

}  // namespace batchproxy::bench
