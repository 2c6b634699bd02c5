// proxy/commands/gpus.cc - batchproxy gpus [--watch] [--json]: the GPUs of this machine.
#include <csignal>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>

#include <unistd.h>

#include "configs/sources/environment.h"
#include "launcher/base/machine.h"
#include "launcher/gpus/inventory_reader.h"
#include "launcher/gpus/report.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

struct GpusFlags {
  bool watch = false;
  bool json = false;
};

int fail(const LaunchError& error) {
  std::cerr << "error: " << error.text << '\n';
  return 1;
}

// Its exit code.
int show(const Nvml& nvml, const Machine& machine, bool as_json) {
  const auto name_of = [&machine](unsigned pid) { return machine.process_name(pid); };
  const auto inventory = read_inventory(name_of, nvml);
  if (!inventory) return fail(inventory.error());
  const OurGpus ours = our_gpus(*inventory, visible_variables(machine.environment));
  std::cout << (as_json ? gpus_json(*inventory, ours) : gpus_text(*inventory, ours)) << std::flush;
  return 0;
}

// Once a second; over what is there on a terminal. SIGINT is waited for, so it ends nothing midway.
int watch(const Nvml& nvml, const Machine& machine, bool as_json) {
  constexpr timespec kSecond{1, 0};
  constexpr const char* kClear = "\033[H\033[2J";
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const bool over = !as_json && ::isatty(STDOUT_FILENO) == 1;
  do {
    if (over) std::cout << kClear;
    if (const int code = show(nvml, machine, as_json); code != 0) return code;
    if (!over && !as_json) std::cout << '\n';
  } while (::sigtimedwait(&ends, nullptr, &kSecond) < 0 && std::cout);
  return 0;
}

int gpus(const GpusFlags& flags) {
  const Machine machine = this_machine(process_environment());
  const auto nvml = Nvml::open(kNvmlLibrary);
  if (!nvml) return fail(nvml.error());
  return flags.watch ? watch(*nvml, machine, flags.json) : show(*nvml, machine, flags.json);
}

}  // namespace

Command add_gpus(CLI::App& app, CommandLine&) {
  const auto flags = std::make_shared<GpusFlags>();
  CLI::App* command =
      app.add_subcommand("gpus", "Show the GPUs: memory, processes, and how they are linked");
  command->add_flag("--watch", flags->watch, "Once a second, until Ctrl-C");
  command->add_flag("--json", flags->json, "For programs; with --watch a line each time");
  command->footer(
      "Examples:\n"
      "  batchproxy gpus\n"
      "  batchproxy gpus --watch\n"
      "  batchproxy gpus --json | jq '.gpus[].memory.free'");
  return {command, [flags] { return gpus(*flags); }};
}

}  // namespace batchproxy
