// bench/commands/compare_command.h - `batchproxy-bench compare` and `report`: what results of runs
// say side by side, and as a page.
//
// Threading: the main thread.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace batchproxy::bench {

struct CompareCommand {
  std::string first{}, second{};  // files that `run --json` wrote
};
CLI::App* add_compare_command(CLI::App& app, CompareCommand& command);
// Both throw std::runtime_error for files that cannot be read or written, or are no results.
int run_compare_command(const CompareCommand& command);

struct ReportCommand {
  std::vector<std::string> results{};
  std::string html = "report.html";
};
CLI::App* add_report_command(CLI::App& app, ReportCommand& command);
int run_report_command(const ReportCommand& command);

}  // namespace batchproxy::bench
