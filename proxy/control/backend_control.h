// proxy/control/backend_control.h - BackendControl: runs the backends. What the launcher, the
// monitor and the look-ups of names see goes into the registry; what the registry publishes goes to
// the data plane; what people should know of it goes to the log and the console.
//
// Threading: confined to the control thread, except report_failure(), look_at() and
// refresh_models().
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "backends/health/backend_monitor.h"
#include "backends/names/name_watch.h"
#include "backends/names/resolver.h"
#include "backends/registry.h"
#include "configs/schema/options.h"
#include "launcher/launcher.h"
#include "launcher/supervision/liveness.h"
#include "proxy/control/backend_notes.h"
#include "proxy/control/engine_orders.h"
#include "proxy/terminal/console.h"
#include "proxy/terminal/narrator.h"

namespace batchproxy {

class BackendControl final : private LauncherEvents {
 public:
  struct Hooks {
    // For the data plane: the backends, and what an engine's metrics say.
    std::function<void(const RosterPtr&)> publish;
    std::function<void(BackendId, const std::optional<EngineSample>&)> observe;
    // Asked of it: requests that a backend has answered, and whether a call to one is under way.
    std::function<std::uint64_t(BackendId)> answered;
    std::function<bool(BackendId)> in_use;
    // Asked of the App.
    std::function<Snapshot()> snapshot;
    std::function<bool()> have_keys;     // clients have keys of ours
    std::function<void()> announce;      // says how to use what is up, if it is time to
    std::function<void()> none_started;  // none of the engines that we were to start has come up
  };

  // `options`, which a reload changes, and what the hooks refer to must outlive it.
  BackendControl(asio::io_context& io, const Options& options, std::vector<BackendRecord> backends,
                 Console& console, Narrator& narrator, Hooks hooks);

  // Makes the launcher of our engines; nothing is started yet. `spare`: GPUs that a repair may give
  // them. `self` is our own program.
  void plan_engines(std::vector<EnginePlan> plans, Gpus spare, std::vector<KeptEngine> kept,
                    const std::string& self);
  bool starts_engines() const { return launcher_ != nullptr; }
  // Where their logs are; empty when we start none.
  std::string log_directory() const;

  // Watches the backends and starts the engines.
  void start();
  // No more watching. `on_done` is called when no process of an engine is left.
  void stop(std::function<void()> on_done);
  // Kills what is left of the engines at once: for another signal after stop().
  void kill_now();
  std::vector<std::string> not_ended() const;

  // Adds and removes the servers that somebody else has started, so that there are those of
  // `options`. Returns what has changed, in sentences. Throws std::runtime_error, with nothing
  // done.
  std::vector<std::string> replace(const Options& options);
  // Looks at all backends and names at once, and goes by the intervals that are in force now.
  void look_again();

  const RosterPtr& roster() const { return registry_.roster(); }
  const BackendRecord& operator[](BackendId id) const { return registry_[id]; }
  // An adapter has been unloaded where it could be: one that is down comes back without it, or says
  // then that it has it.
  void forget_model(BackendId backend, std::string_view model) {
    registry_.forget_model(backend, model);
  }

  // An operator's order for engines of ours: what is done from now on, or why nothing is.
  Result<std::string> order(const EngineOrder& order) { return orders_.give(order); }
  // Once a second: engines that are as good as dead are killed, and started again.
  void check_liveness(TimePoint now);
  // A backend stands still, or moves again.
  void on_stall(const Stall& stall);
  // How often an engine of ours was started again.
  int restarts(BackendId engine) const { return launcher_ ? launcher_->restarts(engine) : 0; }
  // How its process fares at this moment, beyond what is noted.
  EngineCondition condition(BackendId backend) const;
  // What else there is to tell of a backend.
  const BackendNotes& notes(BackendId backend) const { return notes_[backend]; }
  // What was changed of its command so that it starts, in sentences.
  std::vector<std::string> repairs(BackendId engine) const {
    return mechanic_ ? mechanic_->repairs(engine) : std::vector<std::string>();
  }

  // See BackendMonitor. Threading: any thread.
  void report_failure(BackendId backend, bool unreachable);
  void look_at(BackendId backend, BackendMonitor::Tell tell);
  void refresh_models(BackendMonitor::Done done);

 private:
  BackendMonitor::Events monitor_events();
  void watch(const BackendRecord& backend);
  void step(BackendId backend, BackendEvent event, const std::string& why = {});
  void note_step(const BackendRecord& now);
  void note_failure(BackendId engine, std::string_view what, const EngineFailure& failure);
  void on_event(BackendId backend, BackendEvent event, const std::string& why);
  void on_problem(BackendId backend, const std::string& why);
  void on_abilities(BackendId backend, const Abilities& abilities);
  void on_metrics(BackendId backend, const std::optional<EngineMetrics>& metrics);
  void on_move(BackendId backend, const NameTracker& name);

  EngineOrders::Hooks order_hooks();
  void on_starting(BackendId engine) override;
  void on_started(BackendId engine, pid_t pid) override;
  void on_placed(BackendId engine, const EnginePlace& place) override;
  void on_stage(BackendId engine, const std::string& text) override;
  void on_ready(BackendId engine, double seconds) override;
  void on_delay(BackendId engine, const std::string& text) override;
  void on_remark(BackendId engine, const std::string& sentence) override;
  void on_failed(BackendId engine, const EngineFailure& failure, NextStart next) override;
  void on_exited(BackendId engine, const EngineFailure& failure, NextStart next) override;
  void on_stopped(BackendId engine, const std::string& doubt) override;
  void set_place(BackendId engine, const std::optional<EnginePlace>& place);
  void show_engine(BackendId engine, const std::string& text, bool milestone);
  void show_in_place(BackendId engine, const std::string& text);
  void lose_engine(BackendId engine, BackendEvent event, const NextStart& next);

  const Options& options_;
  Console& console_;
  Narrator& narrator_;
  const Hooks hooks_;
  BackendRegistry registry_;
  BackendMonitor monitor_;
  SystemResolver resolver_;
  NameWatch names_;
  asio::io_context& io_;
  std::unique_ptr<Mechanic> mechanic_;                  // of the launcher
  std::unique_ptr<FarEngines> far_;                     // of the launcher; null: all run here
  std::unique_ptr<Launcher> launcher_;                  // null when we start none
  std::vector<Liveness> liveness_;                      // of the engines, by id
  std::array<BackendNotes, BackendSet::kMax> notes_{};  // by id
  EngineOrders orders_;
};

}  // namespace batchproxy
