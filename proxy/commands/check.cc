// proxy/commands/check.cc - batchproxy check [FILE]: what is wrong with a configuration.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "configs/describe.h"
#include "configs/engine_wish.h"
#include "configs/schema/backend_source.h"
#include "configs/sources/environment.h"
#include "configs/text/printable.h"
#include "launcher/outlook/outlook.h"
#include "proxy/certificates/file_check.h"
#include "proxy/commands/commands.h"
#include "proxy/control/topology.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {

namespace {

struct CheckFlags {
  bool strict = false;
  bool show_effective = false;
};

// Of engines of other nodes: what is so, and what is wrong goes to `reasons`.
std::vector<std::string> seen_from_here(const Options& options, std::vector<std::string>& reasons) {
  const Outlook outlook = look_out(options, this_machine(process_environment()));
  std::vector<std::string> seen;
  for (const std::vector<Finding>* findings : {&outlook.placement, &outlook.agents}) {
    for (const Finding& finding : *findings) {
      const std::string text = printable(sentence_of(finding));
      if (finding.is_hopeless) {
        reasons.push_back(text);
      } else if (finding.verdict == CheckVerdict::kFailure) {
        seen.push_back("notice: not all of its engines would start: " + text);
      } else {
        seen.push_back("notice: " + text);
      }
    }
  }
  return seen;
}

// What a start would refuse that the file alone does not tell, and where its engines would go.
// Written for another machine, the file is right all the same.
std::vector<std::string> not_right_here(const Options& options) {
  if (backend_source(options) != BackendSource::kLauncher) return {};
  const auto topology = make_topology(options, self_executable());
  std::vector<std::string> reasons, seen;
  if (topology) {
    if (runs_elsewhere(options)) {
      seen = seen_from_here(options, reasons);
    } else {
      reasons = topology->missing;
    }
    const std::string logs =
        EngineLogs::problem(*options.proxy.launcher.log_directory, topology->plans);
    if (!logs.empty()) reasons.push_back(logs);
  } else {
    reasons = topology.error();
  }
  for (std::string& reason : reasons)
    reason = "notice: on this machine it would not start: " + reason;
  if (topology) seen.insert(seen.begin(), topology->remarks.begin(), topology->remarks.end());
  reasons.insert(reasons.begin(), seen.begin(), seen.end());
  return reasons;
}

bool has(const std::vector<Diagnostic>& diagnostics, Severity severity) {
  return std::ranges::find(diagnostics, severity, &Diagnostic::severity) != diagnostics.end();
}

int check(const CommandLine& arguments, const CheckFlags& flags) {
  const LoadResult loaded = load_options(arguments);
  const LoadedApiKeys keys = load_api_keys(loaded.options);
  print(loaded.diagnostics);
  print(keys.diagnostics);
  if (flags.show_effective && loaded.ok()) std::cout << show_effective(loaded.options);
  if (!loaded.ok() || !keys.ok()) return kUsage;
  const auto files = check_files(loaded.options, std::chrono::system_clock::now());
  print(files);
  const bool warned = loaded.has_warnings() || has(files, Severity::kWarning);
  if (has(files, Severity::kError) || (flags.strict && warned)) return kUsage;
  print(not_right_here(loaded.options));
  const std::string file = config_file(arguments);
  std::cerr << (file.empty() ? "configuration" : file)
            << (warned ? ": usable; see the warnings above\n" : ": fine\n");
  return 0;
}

}  // namespace

Command add_check(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<CheckFlags>();
  CLI::App* command = app.add_subcommand("check", "Check a configuration; exit 0 if it is fine");
  command->add_option("FILE", arguments.config, "Configuration file");
  command->add_flag("--strict", flags->strict, "Warnings are errors");
  command->add_flag("--show-effective", flags->show_effective,
                    "Print every value and where it came from");
  command->footer(
      "Examples:\n"
      "  batchproxy check multi_gpu_batch_config.yaml       every mistake, with its line\n"
      "  batchproxy check --strict --gpus 8 mine.yaml       for a machine with 8 GPUs\n"
      "  batchproxy check --show-effective mine.yaml        each value and where it is from");
  return {command, [&arguments, flags] { return check(arguments, *flags); }};
}

}  // namespace batchproxy
