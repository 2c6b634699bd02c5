// proxy/app.h - App: the running proxy. Puts its parts together, answers what only all of them
// know, and takes them down in reverse order.
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

#include "configs/loader.h"
#include "configs/schema/options.h"
#include "launcher/gpus/gpu_watch.h"
#include "proxy/admin/adapters.h"
#include "proxy/admin/admin.h"
#include "proxy/batches/batch_service.h"
#include "proxy/certificates/expiry_watch.h"
#include "proxy/control/backend_control.h"
#include "proxy/control/data_plane.h"
#include "proxy/control/reloader.h"
#include "proxy/control/service_manager.h"
#include "proxy/control/topology.h"
#include "proxy/metrics/trends.h"
#include "proxy/terminal/console.h"
#include "proxy/terminal/narrator.h"
#include "proxy/ui/history.h"
#include "proxy/ui/status_feed.h"

namespace batchproxy {

// The engines' logs cannot be written, which is for the configuration to mend.
struct UnusableLogs : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class App {
 public:
  // Reads the configuration once more, from wherever it came.
  using LoadAgain = std::function<LoadResult(const std::vector<Flag>& trial)>;

  // Takes both ports and opens the engines' logs; throws std::runtime_error with a message for the
  // operator, or UnusableLogs.
  // `keys` may be null: then none are asked for.
  App(const Options& options, Topology topology, ApiKeysPtr keys, const std::string& self,
      LoadAgain load_again);

  // Serves until a signal. Returns the exit code: 0 after a signal, 4 when none of the engines that
  // we are to start has started.
  int run();

 private:
  // How far the end has come.
  struct Ending {
    enum class Stage { kServing, kDraining, kStopping };
    Stage stage = Stage::kServing;
    TimePoint drain_until{};
    bool cut_short = false;  // what had not been answered by then, or by a second signal
    bool killed = false;     // the engines, by another signal
    int exit_code = 0;
  };

  BackendControl::Hooks backend_hooks();
  DataPlane::Setup data_plane_setup(const ApiKeysPtr& keys);
  std::string jobs_directory() const;
  BatchService::Setup batch_setup() const;
  Reloader::Hooks reloader_hooks(LoadAgain load_again);
  AdminHooks admin_hooks();
  StatusFeed::Sources feed_sources();
  AdapterHooks adapter_hooks();
  Acceptor take_admin_port();
  std::string read_files(const Options& options);
  void take_tls(TlsContextPtr tls);
  void watch_certificate();
  MayHave may_have();  // a port that no engine has been given
  Snapshot snapshot() const;
  Task<DataPlane::Found> search(RecordSearch search);

  void tell_batch(const BatchSummary& batch);
  void announce_if_due(const Snapshot& now);
  void wait_for_signal();
  void tick();

  void shut_down(int exit_code);
  void drain();
  void await_clients();
  void stop_engines();
  void tell_end();

  Options options_;
  Holdings holdings_;
  InternalMark internal_;
  TlsContextPtr tls_;       // null: clients are plain
  // By a reload that may yet be refused:
  TlsContextPtr tls_read_;
  ExportSettings spans_read_;
  CertificateFacts certificate_{};  // of tls_
  ExpiryWatch expiry_;
  StatusFeed feed_;    // outlives the streams, whose coroutines io_ keeps
  asio::io_context io_{1};
  Console console_;
  Narrator narrator_;
  Trends trends_;
  std::unique_ptr<GpuWatch> gpus_;  // null: we start no engines on GPUs
  History history_;
  std::uint64_t state_free_ = 0;  // bytes, for files and records
  Reloader reloader_;
  BackendControl backends_;
  BatchService batches_;  // outlives the threads that hand connections over to it
  DataPlane data_;
  Acceptor admin_;
  asio::signal_set signals_;
  asio::steady_timer ticker_;
  asio::steady_timer drain_timer_;
  asio::ip::tcp::endpoint listening_;
  std::string listen_url_;
  TimePoint started_;
  Ending ending_;
  ServiceManager service_;
};

}  // namespace batchproxy
