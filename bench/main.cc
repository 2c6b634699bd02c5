// bench/main.cc - the program `batchproxy-bench`: puts load on a proxy or an engine and tells what
// came of it, tries settings and topologies, compares results, or compares scheduling policies in
// virtual time.
//
// Exit codes: see commands/exit_codes.h.
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/commands/advise_command.h"
#include "bench/commands/compare_command.h"
#include "bench/commands/exit_codes.h"
#include "bench/commands/manual_command.h"
#include "bench/commands/policy_command.h"
#include "bench/commands/run_command.h"
#include "bench/commands/sweep_command.h"
#include "bench/load/workload.h"
#include "configs/text/build_name.h"
#include "configs/text/nearest_name.h"

namespace batchproxy::bench {
namespace {

// Says which words are not known, and what may have been meant.
int refuse_unknown(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> commands;
  std::vector<std::string> flags;
  for (const CLI::App* command : app.get_subcommands({})) {
    commands.push_back(command->get_name());
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    }
  }
  const bool has_command = !app.get_subcommands().empty();
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    const bool is_flag = name.starts_with('-');
    if (!is_flag && has_command) continue;  // the value of a flag that nobody knows
    const auto& known = is_flag ? flags : commands;
    std::string hint = suggestion(name, {known.begin(), known.end()});
    const bool is_command = !is_flag && &word == &words.front();
    if (!is_flag && !is_command) continue;
    if (hint.empty() && is_command) hint = "; there are " + join({known.begin(), known.end()});
    std::cerr << "error: unknown word '" << name << "'" << hint << '\n';
  }
  std::cerr << "Run with --help for more information.\n";
  return kUsage;
}

int run(int argc, char** argv) {
  RunCommand run_command;
  CompareCommand compare;
  ReportCommand report;
  SweepCommand sweep;
  AdviseCommand advise;
  PolicyCommand policy;
  CLI::App app("Load for batchproxy: asks questions, times the answers, and draws a picture.",
               "batchproxy-bench");
  app.set_version_flag("--version", "batchproxy-bench " + build_name());
  app.require_subcommand(1);
  const auto* runs = add_run_command(app, run_command);
  const auto* sweeps = add_sweep_command(app, sweep);
  const auto* advises = add_advise_command(app, advise);
  const auto* compares = add_compare_command(app, compare);
  const auto* reports = add_report_command(app, report);
  const auto* policies = add_policy_command(app, policy);
  const std::vector<WordCommand> words = add_word_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return refuse_unknown(app, app.remaining(true));
  } catch (const CLI::RequiredError& error) {
    // What is missing may be there, misspelt.
    if (!app.remaining(true).empty()) return refuse_unknown(app, app.remaining(true));
    app.exit(error);
    return kUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kAllWell : kUsage;
  }
  if (runs->parsed()) return run_run_command(run_command, {argv, argv + argc});
  if (sweeps->parsed()) return run_sweep_command(sweep);
  if (advises->parsed()) return run_advise_command(advise);
  if (compares->parsed()) return run_compare_command(compare);
  if (reports->parsed()) return run_report_command(report);
  for (const WordCommand& each : words) {
    if (each.app->parsed()) return each.run();
  }
  return policies->parsed() ? run_policy_command(policy) : kUsage;
}

}  // namespace
}  // namespace batchproxy::bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a server that has gone is told by what is written to it
  try {
    return batchproxy::bench::run(argc, argv);
  } catch (const batchproxy::bench::UnusableWorkload& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return batchproxy::bench::kUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return batchproxy::bench::kFailed;
  }
}
