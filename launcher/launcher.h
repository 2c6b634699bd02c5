// launcher/launcher.h - starts the planned engines, watches them become ready, and stops them.
//
// Knows no HTTP: whether an engine answers is asked through a probe that main injects.
//
// Threading: confined to the io_context's one thread, callbacks included.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <sys/types.h>

#include "configs/options.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {

// What happens to the engines; `index` is EnginePlan::index. Called from the event loop.
class LauncherEvents {
 public:
  virtual ~LauncherEvents() = default;

  virtual void on_started(int index, pid_t pid) = 0;
  virtual void on_stage(int index, const std::string& text) = 0;
  virtual void on_ready(int index, double seconds) = 0;

  // It did not become ready, and is being taken down. At most once for each engine.
  virtual void on_failed(int index, const std::string& reason,
                         const std::vector<std::string>& last_log_lines) = 0;

  // It had been ready and ended without being asked to.
  virtual void on_exited(int index, const std::string& description) = 0;
};

// Calls back once, from any thread, with whether the engine answers as ready.
using ReadinessProbe = std::function<void(const EnginePlan&, std::function<void(bool ready)>)>;

struct LauncherHooks {
  LauncherEvents* events = nullptr;  // must outlive the launcher
  ReadinessProbe probe;
  std::string self_executable;  // the program that has the subcommand `engine-shim`
  Environment inherited;        // our own environment
  Seconds probe_interval{0.5};  // also between two looks at the log
};

class Launcher {
 public:
  // `plans` with resolved executables.
  Launcher(boost::asio::io_context& io, const Options& options, std::vector<EnginePlan> plans,
           LauncherHooks hooks);

  // Engines that still run are told to stop, as if we had died. Not from inside an event.
  ~Launcher();

  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // Starts the engines one after the other, `stagger` apart.
  void start();

  // Stops all engines at the same time; `on_done` is called when no process of any is left. No
  // event comes after this call. Call once.
  void stop(std::function<void()> on_done);

  // Kills what is left at once: for the operator's second Ctrl-C, after stop().
  void kill_now();

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace batchproxy
