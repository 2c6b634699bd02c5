// launcher/placement/far_engines.h - FarEngines: what all engines of other nodes share: the address
// for their agents, the token of the run, and the Placement that brings agents to nodes.
//
// Threading: confined to the control thread's io_context.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "configs/schema/options.h"
#include "launcher/agent/agent_listener.h"
#include "launcher/placement/placement.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/process/group_guard.h"
#include "launcher/process/running_engine.h"

namespace batchproxy {

// The agent for a start of the engine that is planned. `address`: where agents reach us; `self`:
// our own program.
AgentCall agent_call(const Options& options, const EnginePlan& plan, int start, int engines,
                     const std::string& address, const std::string& self);

class FarEngines {
 public:
  // `options` must outlive it. `engines`: so many there are to be. `remark` is told what people
  // should know, in sentences. Throws std::runtime_error when agents could not reach us.
  FarEngines(boost::asio::io_context& io, const Options& options, Environment environment,
             std::string self, int engines, std::function<void(const std::string&)> remark);

  // What people should know of it, as a sentence.
  std::string introduction() const;

  // Once, before the first start(); calls `ready`, at once or later.
  void begin(std::function<void()> ready);

  // Starts the engine for the `start`-th time; `run` names that in its log.
  std::unique_ptr<RunningEngine> start(const EnginePlan& plan, int start, const std::string& run,
                                       EngineHooks hooks);

 private:
  boost::asio::io_context& io_;
  const Options& options_;
  const Environment environment_;
  const std::string self_;
  const int engines_;
  AgentListener agents_;
  GroupGuard guard_;  // of the carriers
  std::unique_ptr<Placement> placement_;
};

}  // namespace batchproxy
