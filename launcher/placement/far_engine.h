// launcher/placement/far_engine.h - FarEngine: one engine of another node, from the call for its
// agent until nothing of it is left.
//
// A carrier brings the agent; the agent connects, is told what to run, and tells how the engine
// fares. What the engine writes goes into its log here, as that of any engine does, and so does
// what the carrier says. The end of the connection is the end of the engine: an agent that has lost
// us stops it, so one that we have lost is as good as dead. One that is silent is not lost: its
// node may sleep, and its engine may serve on; what follows from its silence AgentPulse decides.
//
// Threading: confined to the control thread's io_context.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "launcher/agent/agent_listener.h"
#include "launcher/agent/agent_protocol.h"
#include "launcher/agent/agent_pulse.h"
#include "launcher/placement/placement.h"
#include "launcher/process/running_engine.h"

namespace batchproxy {

struct FarCommand {
  AgentCall call;
  AgentOrder order;
  std::string log_file;
  std::string run;  // "engine-0, run 3", for the line in the log with which it begins
  Seconds agent_timeout{120};
  AgentPatience patience{};
};

class FarEngine final : public RunningEngine {
 public:
  // Calls for the agent. `listener` and `placement` must outlive it.
  FarEngine(boost::asio::io_context& io, AgentListener& listener, Placement& placement,
            FarCommand command, EngineHooks hooks);
  ~FarEngine() override;

  void stop(std::optional<Seconds> grace = std::nullopt) override;
  void kill() override;
  EngineCondition condition() const override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace batchproxy
