// proxy/commands/doctor.cc - batchproxy doctor [--config FILE]: what would keep engines from
// starting on this machine.
#include "launcher/doctor/doctor.h"

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "configs/schema/backend_source.h"
#include "configs/sources/environment.h"
#include "configs/text/home_path.h"
#include "launcher/gpus/inventory_reader.h"
#include "launcher/outlook/outlook.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

struct DoctorFlags {
  std::string model;
  bool json = false;
};

int doctor(const CommandLine& arguments, const DoctorFlags& flags) {
  tell_found_file(arguments);
  const LoadResult loaded = load_options(arguments);
  // Without any the machine alone is looked at; that no engines are named is no mistake then.
  const bool is_given = !arguments.config.empty() || !arguments.keys.given.empty();
  if (is_given && !loaded.ok() && backend_source(loaded.options) != BackendSource::kNone) {
    print(loaded.diagnostics);
    return kUsage;
  }
  Machine machine = this_machine(process_environment());
  const auto name_of = [&machine](unsigned pid) { return machine.process_name(pid); };
  auto inventory = read_inventory(name_of);
  // Asked only where it would be started: that may take a while.
  const LauncherOptions& launcher = loaded.options.proxy.launcher;
  auto vllm = *launcher.engine == "vllm" ? ask_installation(machine, *launcher.executable)
                                         : find_installation(machine, *launcher.executable);
  std::optional<Outlook> outlook;
  if (loaded.ok() && backend_source(loaded.options) == BackendSource::kLauncher) {
    outlook = look_out(loaded.options, machine);
  }
  const auto findings = examine({.machine = std::move(machine),
                                 .options = loaded.options,
                                 .configured = loaded.ok(),
                                 .inventory = std::move(inventory),
                                 .vllm = std::move(vllm),
                                 .learned = read_learned(learned_file()).learned,
                                 .model_path = with_home(flags.model),
                                 .outlook = std::move(outlook)});
  std::cout << (flags.json ? doctor_json(findings) : doctor_text(findings));
  return has_failure(findings) ? 1 : 0;
}

}  // namespace

Command add_doctor(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Look for what would keep engines from starting here; exit 0 if nothing does");
  command->add_option("--validate-model", flags->model, "Look whether a model's files are complete")
      ->type_name("MODEL");
  command->add_flag("--json", flags->json, "For programs");
  command->footer(
      "Examples:\n"
      "  batchproxy doctor                                  this machine\n"
      "  batchproxy doctor --config mine.yaml               and what the file asks of it\n"
      "  batchproxy doctor --validate-model ./my-model      and a model's files\n"
      "With --config FILE, or with the flags of a start, what these ask for is looked at, too.");
  return {command, [&arguments, flags] { return doctor(arguments, *flags); }};
}

}  // namespace batchproxy
