// proxy/commands/stop.cc - batchproxy stop [--config FILE]: ends engines that were kept.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/process/kept_engine.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

constexpr double kKillTime = 5;  // seconds, for the rest of a tree to go after its stop timeout

// Whether the shim at the other end has gone within so many milliseconds.
bool has_gone(int connection, int milliseconds) {
  pollfd shim{connection, POLLIN, 0};
  char byte = 0;
  while (::poll(&shim, 1, milliseconds) == 1) {
    if (::read(connection, &byte, 1) != 1) return true;
  }
  return false;
}

int stop(const CommandLine& arguments) {
  const auto options = options_for_operator(arguments);
  if (!options) return kUsage;
  const LauncherOptions& launcher = options->proxy.launcher;
  const std::string& directory = *launcher.log_directory;
  const std::vector<KeptEngine> engines = find_kept_engines(directory);
  if (engines.empty()) {
    std::cout << "no engine runs whose log is in " << directory
              << "; --config names the file with another log_directory\n";
    return 0;
  }
  for (const KeptEngine& engine : engines) {
    constexpr std::string_view kOrder = "stop\n";
    ::send(engine.connection.get(), kOrder.data(), kOrder.size(), MSG_NOSIGNAL);
  }
  const auto patience = static_cast<int>((launcher.stop_timeout->count() + kKillTime) * 1000);
  const auto stays = [&](const KeptEngine& engine) {
    const bool gone = has_gone(engine.connection.get(), patience);
    std::cout << engine.name << (gone ? ": stopped\n" : ": still runs\n") << std::flush;
    return !gone;
  };
  return std::ranges::count_if(engines, stays) == 0 ? 0 : 1;
}

}  // namespace

Command add_stop(CLI::App& app, CommandLine& arguments) {
  CLI::App* command = app.add_subcommand("stop", "End engines that were kept (launcher.keep)");
  command->footer("Example:\n  batchproxy stop --config mine.yaml");
  return {command, [&arguments] { return stop(arguments); }};
}

}  // namespace batchproxy
