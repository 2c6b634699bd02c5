// launcher/placement/placement.h - Placement: how an agent comes to a node, where it runs an engine
// for us.
//
// An engine of another node has an agent there (launcher/agent/agent.h), which connects to us and
// is told what to run. A Placement only brings that agent to a node: by a program such as ssh or
// srun, or by a request to a scheduler. Which GPUs the engine gets is the scheduler's choice, or
// the agent's on its node.
//
// Threading: confined to the control thread's io_context. Hooks are called from its event loop,
// never from inside a call into these classes, and not after the destructor of whom they belong to.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "configs/schema/options.h"
#include "configs/sources/environment.h"
#include "launcher/agent/run_token.h"

namespace batchproxy {

class GroupGuard;

// One agent that is wanted, for one start of one engine.
struct AgentCall {
  std::string engine;             // "engine-0"
  int index = 0;                  // of the engine, from 0
  int engines = 1;                // so many there are in all
  int start = 1;                  // counts the starts of this engine
  std::size_t gpus = 0;           // that it needs, all of one node; 0: none
  std::vector<std::string> argv;  // the agent's command line on the node
  // Of the run: secret, so for no command line. The agent looks for it in kAgentTokenVariable, and
  // else reads it as the first line of its standard input.
  std::string token{};
};

// What brings one agent to a node. It lasts as long as the agent, which has ended when it ends.
class Carrier {
 public:
  struct Hooks {
    // What it says, a line without its newline.
    std::function<void(std::string_view line)> on_line;
    // The scheduler has no room yet, and waits for it: the agent's time does not count until the
    // next on_line().
    std::function<void(const std::string& why)> on_waiting;
    // Once, and last: nothing of it is left. `how`: "ssh ended with exit code 255", "the Ray job
    // failed: ...".
    std::function<void(const std::string& how)> on_ended;
  };

  // Cancels what is still there.
  virtual ~Carrier() = default;

  // How it fares while its agent is awaited: "ssh still runs (pid 4711)"; empty: nobody knows.
  virtual std::string condition() const { return {}; }
  // The node to which it brings the agent, where that is known beforehand; else empty.
  virtual std::string node() const { return {}; }

  // What to do about it that it has ended before its agent has come; empty: nothing special. To be
  // asked from inside on_ended() only.
  virtual std::string advice() const { return {}; }

  // The agent has left: a carrier that only asks now and then whether it has ended asks now.
  virtual void expect_end() {}
  // It shall end, and take the agent with it; on_ended() follows.
  virtual void cancel() = 0;
  // The same, at once.
  virtual void kill() = 0;
};

class Placement {
 public:
  virtual ~Placement() = default;

  // Once, before the first carry(): looks at what it will work with, and clears away what an
  // earlier run has left. Calls `ready` in any case; what is wrong is said by a remark.
  virtual void begin(std::function<void()> ready) = 0;

  // Brings an agent to a node. What fails is told by on_ended(). `hooks` come from its event loop.
  virtual std::unique_ptr<Carrier> carry(const AgentCall& call, Carrier::Hooks hooks) = 0;
};

// What a Placement is made of; all that is referred to outlives it.
struct PlacementSetup {
  boost::asio::io_context& io;
  const Options& options;
  const Environment& environment;  // our own
  std::string run;                 // a word that is unique to this run; no secret
  int engines = 1;
  // Ends the carriers that are children of ours when we die; null: nobody does.
  GroupGuard* guard = nullptr;
  // Something that people should know, as a sentence; for the log.
  std::function<void(const std::string& sentence)> remark;
};

}  // namespace batchproxy
