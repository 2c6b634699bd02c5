// proxy/app.h - App: the running proxy. Wires configuration, data plane, monitor, launcher, admin
// port and console together, and takes them down in reverse order.
//
// Threading: confined to the control thread (main's), which run() occupies.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/health/backend_monitor.h"
#include "backends/names/name_watch.h"
#include "backends/names/resolver.h"
#include "configs/loader.h"
#include "configs/options.h"
#include "launcher/launcher.h"
#include "proxy/admin/adapters.h"
#include "proxy/admin/admin.h"
#include "proxy/control/data_plane.h"
#include "proxy/control/reload.h"
#include "proxy/control/sites.h"
#include "proxy/control/topology.h"
#include "proxy/terminal/console.h"

namespace batchproxy {

// The engines' logs cannot be written, which is for the configuration to mend.
struct UnusableLogs : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class App final : private LauncherEvents {
 public:
  // Reads the configuration once more, from wherever it came.
  using LoadAgain = std::function<LoadResult()>;

  // Takes both ports and opens the engines' logs; throws std::runtime_error with a message for the
  // operator, or UnusableLogs.
  // `keys` may be null: then none are asked for.
  App(const Options& options, Topology topology, ApiKeysPtr keys, const std::string& self,
      LoadAgain load_again);
  ~App() override;

  // Serves until a signal. Returns the exit code: 0 after a signal, 4 when none of the engines that
  // we are to start has started.
  int run();

 private:
  enum class State { kServing, kDraining, kStopping };
  enum class EngineState { kStarting, kUp, kFailed, kEnded };  // failed: it did not start
  static bool is_lost(EngineState state) {
    return state == EngineState::kFailed || state == EngineState::kEnded;
  }

  DataPlane::Setup data_plane_setup();
  std::size_t backend_count() const;
  Acceptor take_admin_port();
  MayHave may_have();  // a port that no engine has been given
  void make_launcher(const std::string& self);
  Snapshot snapshot() const;
  AdapterHooks adapter_hooks();
  std::vector<AdapterSite> adapter_sites() const;

  ReloadReport reload();
  void replace_backends(ReloadPlan& plan);
  void add_backend(const BackendSite& site);

  void on_move(BackendId backend, const NameTracker& name);
  void on_health(BackendId backend, Health health, const std::string& why);
  void tell_outage(std::uint64_t held);
  void tell_stall(const Stall& stall);
  void tell_failures(const Snapshot& now);
  void tell_refusals(const Snapshot& now);
  void announce(bool complete_only);
  void tell_of_key(BackendId backend, bool keyed);
  void on_batch_done(const BatchSummary& batch);
  void wait_for_signal();
  void tick();
  void shut_down(int exit_code);
  void await_clients();
  void stop_engines();

  void on_started(int index, pid_t pid) override;
  void on_stage(int index, const std::string& text) override;
  void on_ready(int index, double seconds) override;
  void on_failed(int index, const std::string& reason,
                 const std::vector<std::string>& last_log_lines) override;
  void on_exited(int index, const std::string& description) override;
  void show_engine(int index, const std::string& text, bool milestone);
  void engine_lost(int index, EngineState how);

  Options options_;
  Topology topology_;
  Sites sites_;
  ApiKeysPtr keys_;
  const LoadAgain load_again_;
  asio::io_context io_{1};
  Console console_;
  BackendMonitor monitor_;
  DataPlane data_;
  SystemResolver resolver_{io_};
  NameWatch names_;
  Acceptor admin_;
  std::unique_ptr<Launcher> launcher_;
  asio::signal_set signals_;
  asio::steady_timer ticker_;
  asio::steady_timer drain_timer_;
  std::string listen_url_;
  ModelTablePtr models_ = std::make_shared<const ModelTable>();
  TimePoint started_;
  std::vector<EngineState> engines_;  // by BackendId; empty when we start none
  Snapshot told_;                     // what has been said about failures
  Snapshot refusals_told_;            // and about requests refused
  std::uint64_t generation_ = 1;      // of the configuration
  bool last_reload_failed_ = false;
  BackendSet been_ready_;  // at some time
  BackendSet keyed_;       // they ask for a key that we have not
  bool outage_ = false;    // no backend is ready, after one was
  bool announced_ = false;
  TimePoint drain_until_{};
  bool cut_short_ = false;  // what had not been answered by then, or by a second signal
  bool killed_ = false;     // the engines, by another signal
  State state_ = State::kServing;
  int exit_code_ = 0;
};

}  // namespace batchproxy
