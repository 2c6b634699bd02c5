// launcher/launcher.h - Launcher: starts the planned engines, watches them become ready, starts
// again those that end, and stops them.
//
// Knows no HTTP, and keeps no state of an engine beside its process: whether one answers, and what
// has become of it so far (backends/life_cycle.h), it asks through hooks. When an engine that has
// ended is started again, supervision/ decides.
//
// Threading: confined to the io_context's one thread, callbacks included.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <sys/types.h>

#include "backends/life_cycle.h"
#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"
#include "configs/schema/options.h"
#include "launcher/diagnosis/cause.h"
#include "launcher/placement/far_engines.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/process/kept_engine.h"
#include "launcher/process/running_engine.h"
#include "launcher/repair/mechanic.h"

namespace batchproxy {

// How long until an engine that has ended is started again; nothing: it is not.
using NextStart = std::optional<Duration>;

// An end that nobody had asked for.
struct EngineFailure {
  std::string how;                      // "exit code 1", and when
  std::string reason{};                 // the same without the time, to be compared
  std::string node{};                   // of another node: its name, if that is known
  std::optional<Cause> cause{};         // as its log tells
  std::vector<std::string> findings{};  // what is known of the cause, and what is done; for people
  std::vector<std::string> last_lines{};  // of its log
  std::string evidence{};                 // the line of it that tells most
};

// The news of the engines, each named by EnginePlan::backend. Called from the event loop. When
// one of them returns, LauncherHooks::state() knows of it.
class LauncherEvents {
 public:
  virtual ~LauncherEvents() = default;

  // The engine's process is about to be started: for the first time, or again.
  virtual void on_starting(BackendId engine) = 0;
  virtual void on_started(BackendId engine, pid_t pid) = 0;

  // An engine of another node has an address, and is started there.
  virtual void on_placed(BackendId engine, const EnginePlace& place) = 0;
  virtual void on_stage(BackendId engine, const std::string& text) = 0;

  // Something takes long: "waits for its agent on n1: ...". Also after Launcher::stop().
  virtual void on_delay(BackendId engine, const std::string& text) = 0;

  // Something about it that people should know.
  virtual void on_remark(BackendId engine, const std::string& sentence) = 0;

  // The engine's process runs and answers, so many seconds after its start.
  virtual void on_ready(BackendId engine, double seconds) = 0;

  // The engine did not become ready, and is being taken down.
  virtual void on_failed(BackendId engine, const EngineFailure& failure, NextStart next) = 0;

  // The engine had been ready and ended without being asked to.
  virtual void on_exited(BackendId engine, const EngineFailure& failure, NextStart next) = 0;

  // The engine was stopped by stop_engine(): no process of it is left, or `doubt` says what is not
  // known of that.
  virtual void on_stopped(BackendId engine, const std::string& doubt) = 0;
};

struct LauncherHooks {
  LauncherEvents* events = nullptr;  // must outlive the launcher
  // The state of an engine; `starting` from before start() until the launcher says otherwise.
  std::function<BackendState(BackendId)> state;
  // Whether a server answers as ready where the engine is to be.
  std::function<bool(BackendId)> answers;
  // The free memory, in bytes, of that of the GPUs that has the least; nothing: nobody knows.
  std::function<std::optional<std::uint64_t>(const Gpus&)> free_memory = [](const Gpus&) {
    return std::optional<std::uint64_t>();
  };
  // For plans of other nodes; must outlive the launcher. Null: there are none.
  FarEngines* far = nullptr;
  Mechanic* mechanic = nullptr;  // must outlive the launcher; null: no log is read for reasons
  std::string self_executable;   // the program that has the subcommand `engine-shim`
  Environment inherited;         // our own environment
  Seconds look_interval{0.5};    // between two looks at what answers, and at the log
};

class Launcher {
 public:
  // `plans` with resolved executables. Those of `kept` that are planned are taken over instead of
  // started, and the others are told to stop.
  Launcher(boost::asio::io_context& io, const Options& options, std::vector<EnginePlan> plans,
           LauncherHooks hooks, std::vector<KeptEngine> kept = {});

  // Engines that still run are told to stop, as if we had died. Not from inside an event.
  ~Launcher();

  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // Starts the engines one after the other, `stagger` apart.
  void start();

  // Looks at once whether an engine that is starting has come up: it may answer now.
  void look_at(BackendId engine);

  const EnginePlan& plan(BackendId engine) const;
  // How often it was started again.
  int restarts(BackendId engine) const;
  // How its process fares at this moment; that of none has nothing to tell.
  EngineCondition condition(BackendId engine) const;

  // --- orders for one engine ---
  // Stops the engine if it runs, and starts it. What has been learnt of failures does not count.
  void restart_engine(BackendId engine);
  // Stops the engine. It stays down until restart_engine().
  void stop_engine(BackendId engine);
  // Kills an engine that is as good as dead; on_exited() or on_failed() follows, with `why`.
  void give_up_on(BackendId engine, const std::string& why);

  // Lets go of all engines, which are kept and go on. No event comes after this call.
  void leave();

  // Stops all engines at the same time; `on_done` is called when no process of any is left. No
  // event but on_delay() and on_remark() comes after this call. Call once.
  void stop(std::function<void()> on_done);

  // Kills what is left at once: for the operator's second Ctrl-C, after stop().
  void kill_now();
  // Engines of which something may be left, by name.
  std::vector<std::string> not_ended() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace batchproxy
