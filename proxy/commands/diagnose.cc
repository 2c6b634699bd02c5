// proxy/commands/diagnose.cc - batchproxy diagnose: why an engine failed, from its log.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#include "launcher/diagnosis/log_file.h"
#include "launcher/diagnosis/report.h"
#include "proxy/commands/commands.h"

namespace batchproxy {
namespace {

struct DiagnoseFlags {
  std::string log;
  bool json = false;
};

int run_diagnose(const DiagnoseFlags& flags) {
  const bool is_stdin = flags.log == "-";
  const auto diagnosis = is_stdin ? diagnose(stdin) : diagnose_file(flags.log);
  if (!diagnosis) {
    std::cerr << "error: " << flags.log << ": " << std::strerror(errno) << '\n';
    return kUsage;
  }
  const std::string name = is_stdin ? "standard input" : flags.log;
  std::cout << (flags.json ? diagnosis_json(*diagnosis, name) + "\n"
                           : diagnosis_text(*diagnosis, name));
  return 0;
}

}  // namespace

Command add_diagnose(CLI::App& app, CommandLine&) {
  CLI::App* command = app.add_subcommand("diagnose", "Say why an engine failed, from its log");
  const auto flags = std::make_shared<DiagnoseFlags>();
  command->add_option("LOG", flags->log, "An engine's log, - for standard input")->required();
  command->add_flag("--json", flags->json, "As one JSON object");
  command->footer(
      "Exit code 0 if the log could be read, whatever it says.\n\n"
      "Examples:\n"
      "  batchproxy diagnose logs/engine-0.log\n"
      "  vllm serve my/model 2>&1 | batchproxy diagnose - --json");
  return {command, [flags] { return run_diagnose(*flags); }};
}

}  // namespace batchproxy
