// launcher/placement/exec_placement.cc - see exec_placement.h.
#include "launcher/placement/exec_placement.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "launcher/placement/child_carrier.h"
#include "launcher/placement/exec_command.h"
#include "launcher/plan/executable.h"
#include "launcher/process/group_guard.h"

namespace batchproxy {
namespace {

std::vector<std::string> command_for(const Options& options, const AgentCall& call) {
  const LauncherOptions& launcher = options.proxy.launcher;
  return fill_exec_command(*launcher.exec_command, call, *launcher.nodes);
}

constexpr const char* kForeground =
    "it must stay in the foreground for as long as its agent: take what sends it to the background "
    "(ssh -f, setsid, &) out of batchproxy.launcher.exec_command";

class ExecPlacement final : public Placement {
 public:
  explicit ExecPlacement(const PlacementSetup& setup) : setup_(setup) {}

  void begin(std::function<void()> ready) override {
    boost::asio::post(setup_.io, std::move(ready));
  }

  std::unique_ptr<Carrier> carry(const AgentCall& call, Carrier::Hooks hooks) override {
    CarrierCommand command =
        carrier_command(command_for(setup_.options, call), setup_.environment, call);
    const std::vector<std::string>& nodes = *setup_.options.proxy.launcher.nodes;
    if (!nodes.empty()) command.node = node_of(call, nodes);
    command.if_done_early = kForeground;
    if (setup_.guard != nullptr) command.guard = setup_.guard->descriptor();
    return start_carrier(setup_.io, std::move(command), std::move(hooks));
  }

 private:
  const PlacementSetup setup_;
};

}  // namespace

std::vector<std::string> exec_lacks(const Options& options, const Environment& environment) {
  const std::vector<std::string>& command = *options.proxy.launcher.exec_command;
  const auto path = environment.find("PATH");
  const auto program = find_executable(command.empty() ? "" : command.front(),
                                       path == environment.end() ? "" : path->second);
  // The agent itself, which is somewhere on the node.
  if (program || command.empty() || command.front() == "{agent...}") return {};
  return {"`" + command.front() +
          "` was not found, or cannot be run: correct batchproxy.launcher.exec_command"};
}

std::string exec_shown(const Options& options, const Environment& /*environment*/,
                       const AgentCall& call) {
  return shell_line(command_for(options, call));
}

std::unique_ptr<Placement> make_exec_placement(const PlacementSetup& setup) {
  return std::make_unique<ExecPlacement>(setup);
}

}  // namespace batchproxy
