// bench/commands/compare_command.cc - see compare_command.h.
#include "bench/commands/compare_command.h"

#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/commands/exit_codes.h"
#include "bench/commands/files.h"
#include "bench/page/report_page.h"
#include "bench/results/comparison.h"
#include "bench/results/record.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

Record read_result(const std::string& file) {
  return read_record(read_file(file), printable(file));
}

}  // namespace

CLI::App* add_compare_command(CLI::App& app, CompareCommand& command) {
  auto* compare =
      app.add_subcommand("compare", "How two results differ, and whether by more than chance");
  compare->add_option("FIRST", command.first, "What `run --json` wrote")->required();
  compare->add_option("SECOND", command.second, "The same of another run")->required();
  compare->footer("Example:\n  batchproxy-bench compare before.json after.json");
  return compare;
}

int run_compare_command(const CompareCommand& command) {
  const Record first = read_result(command.first);
  const Record second = read_result(command.second);
  std::cout << to_text(compare(first, second));
  return kAllWell;
}

CLI::App* add_report_command(CLI::App& app, ReportCommand& command) {
  auto* report = app.add_subcommand("report", "Results as one page of HTML with pictures");
  report->add_option("RESULTS", command.results, "What `run --json` wrote, one to four")
      ->required()
      ->expected(1, static_cast<int>(kMostPageRuns));
  report->add_option("--html,-o", command.html, "Where to write it")
      ->type_name("FILE")
      ->capture_default_str();
  report->footer("Example:\n  batchproxy-bench report before.json after.json -o report.html");
  return report;
}

int run_report_command(const ReportCommand& command) {
  std::vector<PageRun> runs;
  for (const std::string& file : command.results) {
    runs.push_back({std::filesystem::path(file).stem().string(), read_result(file)});
  }
  write_file(command.html, report_page(runs));
  if (command.html != "-") std::cout << "written: " << printable(command.html) << '\n';
  return kAllWell;
}

}  // namespace batchproxy::bench
