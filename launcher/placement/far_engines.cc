// launcher/placement/far_engines.cc - see far_engines.h.
#include "launcher/placement/far_engines.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "launcher/agent/run_token.h"
#include "launcher/placement/far_engine.h"
#include "launcher/placement/placements.h"

namespace batchproxy {
namespace {

// Beyond the engines' stop time-out: what an agent may take to end once we have died.
constexpr Seconds kGuardGrace{15};

}  // namespace

AgentCall agent_call(const Options& options, const EnginePlan& plan, int start, int engines,
                     const std::string& address, const std::string& self) {
  const std::string& program = *options.proxy.launcher.agent_program;
  AgentCall call;
  call.engine = plan.name;
  call.index = plan.index;
  call.engines = engines;
  call.start = start;
  call.gpus = plan.far_gpus;
  call.argv = {program.empty() ? self : program,
               "engine-agent",
               "--proxy",
               address,
               "--engine",
               plan.name,
               "--start",
               std::to_string(start)};
  return call;
}

FarEngines::FarEngines(boost::asio::io_context& io, const Options& options, Environment environment,
                       std::string self, int engines,
                       std::function<void(const std::string&)> remark)
    : io_(io),
      options_(options),
      environment_(std::move(environment)),
      self_(std::move(self)),
      engines_(engines),
      agents_(io, *options.proxy.launcher.agents_listen, make_run_token(), remark),
      guard_(self_, *options.proxy.launcher.stop_timeout + kGuardGrace) {
  const PlacementRow* row = placement_row(options);
  const PlacementSetup setup{.io = io,
                             .options = options_,
                             .environment = environment_,
                             .run = make_nonce().substr(0, 8),
                             .engines = engines_,
                             .guard = &guard_,
                             .remark = remark};
  placement_ = row == nullptr ? nullptr : row->make(setup);
  if (!placement_) {
    throw std::runtime_error("launcher.placement: " + *options.proxy.launcher.placement +
                             " cannot be used");
  }
}

std::string FarEngines::introduction() const {
  return fmt::format(
      "engines run on other nodes (placement: {}); their agents connect to {}. Their memory is not "
      "planned, and they get no spare GPUs",
      *options_.proxy.launcher.placement, agents_.address());
}

void FarEngines::begin(std::function<void()> ready) {
  placement_->begin(std::move(ready));
}

std::unique_ptr<RunningEngine> FarEngines::start(const EnginePlan& plan, int start,
                                                 const std::string& run, EngineHooks hooks) {
  const LauncherOptions& launcher = options_.proxy.launcher;
  FarCommand command;
  command.call = agent_call(options_, plan, start, engines_, agents_.address(), self_);
  command.call.token = agents_.token();
  command.order.argv = plan.argv;
  command.order.set = plan.environment.set;
  command.order.unset = plan.environment.unset;
  command.order.stop_timeout = *launcher.stop_timeout;
  command.order.port_base = static_cast<int>(*launcher.port_base);
  // Simulated engines take GPUs in name only: a scheduler counts them, and no driver is asked.
  command.order.gpus = *launcher.engine == "sim" ? 0 : plan.far_gpus;
  command.log_file = plan.log_file;
  command.run = run;
  command.agent_timeout = *launcher.agent_timeout;
  command.patience.time_without_engine =
      std::chrono::duration_cast<Duration>(command.agent_timeout);
  return std::make_unique<FarEngine>(io_, agents_, *placement_, std::move(command),
                                     std::move(hooks));
}

}  // namespace batchproxy
