// launcher/process/running_engine.h - RunningEngine: one engine that runs or is about to, here or
// on another node, as the launcher sees it.
//
// Threading: confined to one thread; the hooks are called there, never from inside a call into an
// engine, and not after its destructor.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <sys/types.h>

#include "configs/schema/host_port.h"
#include "configs/schema/key.h"

namespace batchproxy {

struct EngineEnd {
  std::string how;                 // "exit code 1", "killed by SIGKILL"
  std::optional<int> exit_code{};  // if it ended so
  std::string node{};              // of another node: its name, if that is known
  bool is_hopeless = false;        // no other start mends it
};

// Where an engine is that others have placed.
struct EnginePlace {
  HostPort address;
  std::string node;  // its name
  std::string gpus;  // "0,1", as CUDA_VISIBLE_DEVICES names them there; empty: it has none
};

struct EngineHooks {
  std::function<void(pid_t)> on_started;
  std::function<void(const EngineEnd&)> on_exited;  // once, also if it never started
  std::function<void()> on_gone;                    // once, last: no process is left
  // Of an engine of another node: what it waits for; and, before on_started, where it is.
  std::function<void(const std::string&)> on_stage{};
  std::function<void(const EnginePlace&)> on_placed{};
  // Likewise: something takes long, which people should know: a sentence without its subject, the
  // engine. Also while it is to end.
  std::function<void(const std::string&)> on_delay{};
};

// How one fares at a moment, beyond what its hooks have told: sentences without the engine as their
// subject, with how long so far. Of an engine of another node; empty: there is nothing to tell.
struct EngineCondition {
  // "waits for its agent on n1: ssh still runs (pid 4711), 7 s of agent_timeout (120 s) are over"
  std::string waits_for{};
  // "its agent on n1 has not answered for 7 s": nobody would tell of its end. It may be well.
  std::string silence{};
  // It is over as far as we are concerned, and this is not known of its end.
  std::string doubt{};
};

class RunningEngine {
 public:
  // Asks a running engine to stop, and leaves it to do so. One that is kept goes on.
  virtual ~RunningEngine() = default;

  // SIGTERM to the engine, SIGKILL to its whole tree after `grace`: by default the stop timeout.
  virtual void stop(std::optional<Seconds> grace = std::nullopt) = 0;

  // SIGKILL to the whole tree at once.
  virtual void kill() = 0;

  // Asked at any time, also in on_gone().
  virtual EngineCondition condition() const { return {}; }
};

}  // namespace batchproxy
