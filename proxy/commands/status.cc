// proxy/commands/status.cc - batchproxy status [--json]: what a running batchproxy does now, once.
#include <algorithm>
#include <iostream>
#include <memory>

#include <sys/ioctl.h>
#include <unistd.h>

#include "proxy/commands/commands.h"
#include "proxy/top/screen.h"

namespace batchproxy {

namespace {

constexpr std::size_t kLeastColumns = 40;

struct StatusFlags {
  bool json = false;
};

// 0 for what is no terminal, or one that does not tell.
std::size_t columns_of_stdout() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  return std::max<std::size_t>(size.ws_col, kLeastColumns);
}

int status(const CommandLine& arguments, const StatusFlags& flags) {
  const auto proxy = admin_client(arguments);
  if (!proxy) return kUsage;
  const AdminClient::Answer answer = proxy->ask("GET", "/status");
  if (!answer.is_good()) {
    std::cerr << "error: " << answer.body;
    return 1;
  }
  if (flags.json) {
    std::cout << answer.body;
    return 0;
  }
  const auto now = read_status(answer.body);
  if (!now) {
    std::cerr << "error: what answers at " << proxy->address() << " is no batchproxy\n";
    return 1;
  }
  TopView view;
  view.with_keys = false;
  for (const ScreenLine& line : draw(*now, view, {columns_of_stdout(), 0})) {
    std::cout << line.text.substr(0, line.text.find_last_not_of(' ') + 1) << '\n';
  }
  return 0;
}

}  // namespace

Command add_status(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app.add_subcommand("status", "What a running batchproxy does now");
  command->add_flag("--json", flags->json, "As its /status says it, for programs");
  command->footer(
      "Examples:\n"
      "  batchproxy status                          for people\n"
      "  batchproxy status --json | jq .backends    for programs");
  return {command, [&arguments, flags] { return status(arguments, *flags); }};
}

}  // namespace batchproxy
