// launcher/process/engine_process.h - one running engine: starts its shim, talks to it, hears from
// it.
//
// Threading: confined to the executor's one thread; the hooks are called there, never from inside
// a call into this class.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <sys/types.h>

#include "backends/net/descriptor.h"
#include "configs/schema/key.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {

struct EngineCommand {
  std::string shim_executable;  // the program whose `engine-shim` is run: batchproxy itself
  std::vector<std::string> argv;
  Environment environment;  // all of it
  std::string log_file;
  std::string run{};        // "engine-0, run 3", for the line in the log with which it begins
  int log_descriptor = -1;  // its lock, which lasts as long as the engine; -1: there is none
  Seconds stop_timeout{20};
  // An engine that goes on without us; see kept_engine.h. Empty: it does not.
  std::string keep_as{};   // its name
  std::string greeting{};  // without its newline
};

// `inherited` with `changes` made.
Environment changed_environment(Environment inherited, const EnvironmentChanges& changes);

struct EngineEnd {
  std::string how;                 // "exit code 1", "killed by SIGKILL"
  std::optional<int> exit_code{};  // if it ended so
};

class EngineProcess {
 public:
  struct Hooks {
    std::function<void(pid_t)> on_started;
    std::function<void(const EngineEnd&)> on_exited;  // once, also if it never started
    std::function<void()> on_gone;                    // once, last: no process is left
  };

  // `hooks` are not called after the destructor.
  EngineProcess(boost::asio::any_io_executor executor, Hooks hooks);

  // Asks a running shim to stop the engine and leaves it to do so. An engine that is kept goes on.
  ~EngineProcess();

  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // Call once. Returns why the shim could not be started; then no hook is called.
  std::optional<std::string> start(const EngineCommand& command);

  // Instead of start(): takes over an engine that runs, by a connection to its shim.
  void adopt(Descriptor connection);

  // SIGTERM to the engine, SIGKILL to its whole tree after `grace`: by default the stop timeout.
  void stop(std::optional<Seconds> grace = std::nullopt);

  // SIGKILL to the whole tree at once.
  void kill();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace batchproxy
