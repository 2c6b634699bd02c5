// proxy/commands/serve.cc - batchproxy [--config FILE] [flags]: serve, or say what that would
// start.
#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include "backends/names/resolver.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/host_port.h"
#include "configs/text/printable.h"
#include "launcher/outlook/outlook.h"
#include "launcher/placement/far_engines.h"
#include "launcher/placement/placements.h"
#include "launcher/plan/command_line.h"
#include "proxy/app.h"
#include "proxy/commands/commands.h"
#include "proxy/control/log_format.h"
#include "proxy/control/log_level.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {

namespace {

void set_up_logging(const ProxyOptions& options) {
  auto logger = spdlog::stderr_color_mt("batchproxy");
  logger->set_formatter(log_formatter(*options.log_format, is_journal()));
  spdlog::set_default_logger(std::move(logger));
  set_log_level(*options.log_level);
}

// No core dump of prompts and keys, and no debugger of another process of this user. Unlike
// RLIMIT_CORE it is not inherited: engines, which are debugged by their dumps, keep theirs.
void refuse_to_be_read() {
  ::prctl(PR_SET_DUMPABLE, 0);
}

// How the agents of engines come to their nodes; empty for engines of this machine.
std::string carriers_text(const Options& options, const std::string& self,
                          const std::vector<EnginePlan>& plans) {
  const PlacementRow* row = placement_row(options);
  if (row == nullptr) return {};
  const std::string& told = *options.proxy.launcher.agents_listen;
  std::string text = "\n# their agents, which get the token of the run in their environment\n";
  for (const EnginePlan& plan : plans) {
    const AgentCall call = agent_call(options, plan, 1, static_cast<int>(plans.size()),
                                      told.empty() ? "HOST:PORT" : told, self);
    text += row->shown(options, process_environment(), call) + "\n";
  }
  return text;
}

// What a start would do.
std::string plan_text(const Options& options, const std::string& self, const Topology& topology) {
  if (!topology.plans.empty()) {
    return dry_run_text(topology.plans) + carriers_text(options, self, topology.plans);
  }
  const std::size_t count = topology.backends.size();
  std::string text =
      fmt::format("# {} backend{}, nothing to start\n", count, count == 1 ? "" : "s");
  for (const BackendRecord& backend : topology.backends) {
    text += backend.endpoint->url() + "\n";
  }
  return text;
}

// A start waits for them: they may be there by then.
void warn_of_missing_names(const Topology& topology) {
  for (const BackendRecord& backend : topology.backends) {
    const auto at = parse_host_port(backend.endpoint->authority);
    if (!at || is_address(at->host)) continue;
    const LookUp answer = look_up(*at);
    if (!answer.error) continue;
    std::cerr << "warning: " << backend.endpoint->url()
              << " cannot be found: " << describe_unresolved(at->host, answer.error) << '\n';
  }
}

// A head of Ray takes ten seconds and more for an answer when it is busy.
constexpr std::chrono::seconds kTimeAtAStart{30};

// Says what is in the way of engines of other nodes. Whether a start may go on.
bool tell_obstacles(const Options& options, bool dry_run) {
  if (backend_source(options) != BackendSource::kLauncher) return true;
  AnswerTime time;
  if (!dry_run) {
    time = {kTimeAtAStart, [](const std::string& sentence) {
              std::cerr << "notice: " << printable(sentence) << '\n';
            }};
  }
  bool may_go_on = true;
  const Machine machine = this_machine(process_environment());
  for (const Finding& obstacle : obstacles(options, machine, time)) {
    const bool is_the_end = obstacle.is_hopeless && !dry_run;
    std::cerr << (is_the_end ? "error: " : "warning: ") << printable(sentence_of(obstacle)) << '\n';
    may_go_on = may_go_on && !is_the_end;
  }
  return may_go_on;
}

int serve(const CommandLine& arguments, bool dry_run) {
  if (dry_run) tell_found_file(arguments);  // else the console does
  const LoadResult loaded = load_options(arguments);
  print(loaded.diagnostics);
  if (!loaded.ok()) return kUsage;
  const LoadedApiKeys keys = load_api_keys(loaded.options);
  print(keys.diagnostics);
  if (!keys.ok()) return kUsage;
  set_up_logging(loaded.options.proxy);

  // Until the App takes them: a batch system may send them at any time.
  for (const int harmless : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(harmless, SIG_IGN);
  const std::string self = self_executable();
  auto topology = make_topology(loaded.options, self);
  if (!topology) {
    for (const std::string& error : topology.error()) std::cerr << "error: " << error << '\n';
    return kUsage;
  }
  for (const std::string& missing : topology->missing) {
    std::cerr << (dry_run ? "warning: " : "error: ") << missing << '\n';
  }
  print(topology->remarks);
  const std::string& logs = *loaded.options.proxy.launcher.log_directory;
  if (dry_run) {
    const std::string problem =
        topology->plans.empty() ? "" : EngineLogs::problem(logs, topology->plans);
    if (!problem.empty()) std::cerr << "warning: " << problem << '\n';
    warn_of_missing_names(*topology);
    tell_obstacles(loaded.options, dry_run);
    std::cout << plan_text(loaded.options, self, *topology);
    return 0;
  }
  if (!topology->missing.empty()) return kUsage;
  if (!tell_obstacles(loaded.options, dry_run)) return kUsage;
  raise_descriptor_limit();
  refuse_to_be_read();
  try {
    App app(
        loaded.options, *std::move(topology), keys.keys, self,
        [&arguments](const std::vector<Flag>& trial) { return load_options(arguments, trial); });
    return app.run();
  } catch (const UnusableLogs& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
}

}  // namespace

Command add_serve(CLI::App& app, CommandLine& arguments) {
  const auto dry_run = std::make_shared<bool>(false);
  app.add_option("--config", arguments.config, "Configuration file (the workers' own YAML)")
      ->type_name("FILE");
  arguments.keys.add_to(app);
  app.add_flag("--dry-run", *dry_run, "Print the engines' commands and exit");
  return {&app, [&arguments, dry_run] { return serve(arguments, *dry_run); }};
}

}  // namespace batchproxy
