// launcher/process/engine_process.h - one running engine: starts its shim, talks to it, hears from
// it.
//
// Threading: confined to the executor's one thread; the hooks are called there, never from inside
// a call into this class.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "backends/net/descriptor.h"
#include "configs/schema/key.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/process/running_engine.h"

namespace batchproxy {

struct EngineCommand {
  std::string shim_executable;  // the program whose `engine-shim` is run: batchproxy itself
  std::vector<std::string> argv;
  Environment environment;  // all of it
  std::string log_file{};
  int output = -1;    // where its output goes instead, if it is one; what is not read there is lost
  std::string run{};  // "engine-0, run 3", for the line in the log with which it begins
  std::vector<int> held{};  // what the engine has open as long as it lives: the locks that it holds
  Seconds stop_timeout{20};
  // An engine that goes on without us; see kept_engine.h. Empty: it does not.
  std::string keep_as{};   // its name
  std::string greeting{};  // without its newline
};

// `inherited` with `changes` made.
Environment changed_environment(Environment inherited, const EnvironmentChanges& changes);

class EngineProcess final : public RunningEngine {
 public:
  EngineProcess(boost::asio::any_io_executor executor, EngineHooks hooks);
  ~EngineProcess() override;

  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // Call once. Returns why the shim could not be started; then no hook is called.
  std::optional<std::string> start(const EngineCommand& command);

  // Instead of start(): takes over an engine that runs, by a connection to its shim.
  void adopt(Descriptor connection);

  void stop(std::optional<Seconds> grace = std::nullopt) override;
  void kill() override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace batchproxy
