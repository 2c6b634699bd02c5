// backends/backend_monitor.h - BackendMonitor: asks each backend how it is and what it serves.
//
// GET /health on a timer, sooner when a call has failed; GET /v1/models each time a backend comes
// up. HealthTracker decides what it means.
//
// Threading: confined to the control thread's io_context, except report_failure().
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/endpoint.h"
#include "backends/health_tracker.h"
#include "backends/http/task.h"
#include "backends/model_table.h"

namespace batchproxy {

class BackendMonitor {
 public:
  struct Events {
    // `why` says what is wrong when it is not ready.
    std::function<void(BackendId, Health, const std::string& why)> on_health;
    std::function<void(ModelTablePtr)> on_models;
  };

  BackendMonitor(asio::io_context& io, Duration interval, Events events);

  // Start-up only; ids are dense from 0, endpoints outlive the monitor.
  void add(const Endpoint* endpoint);
  void start();
  void stop();

  // It will not come back: its models are no longer waited for.
  void retire(BackendId backend);

  // A call found nobody at home (`unreachable`), or lost its connection: look at once.
  // Threading: any thread.
  void report_failure(BackendId backend, bool unreachable);

  Health health(BackendId backend) const { return watched_[backend]->tracker.health(); }
  std::size_t size() const { return watched_.size(); }
  const Endpoint& endpoint(BackendId backend) const { return *watched_[backend]->endpoint; }
  bool any_ready() const;

 private:
  struct Watched {
    const Endpoint* endpoint;
    HealthTracker tracker;
    asio::steady_timer timer;
    std::string problem;
    bool retired = false;
  };

  // One GET of `path`: the body of a 200, or why there is none.
  struct Reply {
    ProbeResult result;
    std::string body;
    std::string problem;
  };
  Task<Reply> get(const Endpoint& at, std::string path);
  Task<void> watch(Watched& watched);
  Task<Reply> learn_models(Watched& watched);
  void tell_health(const Watched& watched);

  asio::io_context& io_;
  const Duration interval_;
  const Events events_;
  std::vector<std::unique_ptr<Watched>> watched_;
  std::shared_ptr<ModelTable> models_ = std::make_shared<ModelTable>();
  bool stopped_ = false;
};

}  // namespace batchproxy
