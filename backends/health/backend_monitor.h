// backends/health/backend_monitor.h - BackendMonitor: asks each backend how it is and what it
// serves.
//
// GET /health on a timer, sooner when a call has failed, or what a server without it has instead:
// see HealthPath. GET /v1/models and /openapi.json each time a backend comes up, and /v1/models now
// and then after that, and when a client names a model that nobody knows; GET /metrics on a timer
// while it is up. HealthTracker decides what the answers, or none, mean.
//
// Threading: confined to the control thread's io_context, except report_failure(), look_at() and
// refresh_models().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/backend.h"
#include "backends/health/engine_metrics.h"
#include "backends/health/health_path.h"
#include "backends/health/health_tracker.h"
#include "backends/life_cycle.h"
#include "backends/net/task.h"

namespace batchproxy {

// Abilities that not every server has.
struct Abilities {
  bool token_ids = false;     // `return_token_ids` for completions
  bool chat_batches = false;  // POST /v1/chat/completions/batch
  bool keyed = false;         // it keeps its models to holders of a key that we have not
};

// Which names of models the configuration gives a backend.
struct ConfiguredModels {
  bool any = false;
  bool always = false;  // they count beside what it says
};

class BackendMonitor {
 public:
  struct Intervals {
    Duration health;
    Duration metrics;
    Duration patience = std::chrono::seconds(10);  // before silence is believed
  };
  struct Events {
    // A backend is believed to be fit for work, or no longer; then `why` says what is wrong.
    std::function<void(BackendId, BackendEvent, const std::string& why)> on_event;
    // The models that a backend lists: told before on_event() calls it fit for work, and each time
    // the list is read.
    std::function<void(BackendId, ModelList)> on_models;
    // Told each time a backend comes up, and when it has begun or ceased to ask for a key.
    std::function<void(BackendId, const Abilities&)> on_abilities;
    // The metrics of a backend; nothing when they could not be read.
    std::function<void(BackendId, const std::optional<EngineMetrics>&)> on_metrics;
    // Asked, not told: how many requests the backend has answered. A backend that answers is alive.
    std::function<std::uint64_t(BackendId)> answered;
    // A probe could not connect, or a call has failed: the backend may be at another address by
    // now.
    std::function<void(BackendId)> on_doubt = [](BackendId) {};
    // The problem() of a backend has changed, and nothing else has.
    std::function<void(BackendId, const std::string& why)> on_problem = [](BackendId,
                                                                           const std::string&) {};
    // Whether it says of its models that they are simulated, as batchproxy's own engine does; told
    // each time they are read.
    std::function<void(BackendId, bool)> on_simulated = [](BackendId, bool) {};
    // Asked: what is configured.
    std::function<ConfiguredModels(BackendId)> configured = [](BackendId) {
      return ConfiguredModels{};
    };
  };

  BackendMonitor(asio::io_context& io, Intervals intervals, Events events);

  // Watches a backend from start(), or from now on if that was before. It may take the place of one
  // that was removed.
  void add(std::shared_ptr<const Endpoint> endpoint);
  // The backend of `endpoint` stays. The next question to it goes by `endpoint`, and comes at once.
  void set_endpoint(std::shared_ptr<const Endpoint> endpoint);
  void start();
  void stop();
  // Looks at all of them at once, and at what they serve.
  void look_again();
  void set_intervals(const Intervals& intervals) { intervals_ = intervals; }

  // The process of `backend` has ended, and nobody starts it again.
  void retire(BackendId backend);
  // `backend` is no backend any more, or not now: nothing is told about it from now on.
  void remove(BackendId backend);

  // A call found nobody at home (`unreachable`), or lost its connection: look at once.
  // Threading: any thread.
  void report_failure(BackendId backend, bool unreachable);

  // Looks at once, by a probe that begins after this call, and tells on the control thread whether
  // it is ready. When the watching ends first, or a probe is under way that has more time than
  // others: as it was last seen, and not once it is retired.
  //
  // Threading: any thread.
  using Tell = std::function<void(bool is_ready)>;
  void look_at(BackendId backend, Tell tell);

  // Reads again what those that are ready serve, unless that was done a moment ago, and says when
  // it is done. Who asks meanwhile waits for the same.
  //
  // Threading: any thread; `done` is called on the control thread.
  using Done = std::function<void()>;
  void refresh_models(Done done);

  Health health(BackendId backend) const { return watched_[backend]->tracker.health(); }
  // Why the backend is not ready, in words; empty while it is.
  const std::string& problem(BackendId backend) const { return watched_[backend]->problem; }

 private:
  // Over: it has ended, or we stop. Removed: it is no backend any more.
  enum class Watching : std::uint8_t { kOn, kOver, kRemoved };
  struct Watched {
    bool is_over() const { return watching != Watching::kOn; }
    bool is_ready() const { return tracker.health() == Health::kReady; }
    // To those who asked before the probe.
    void answer(std::vector<Tell>& asked) const;

    std::shared_ptr<const Endpoint> endpoint;
    HealthTracker tracker{};
    HealthPath health_path{};
    asio::steady_timer timer;
    asio::steady_timer metrics_timer;
    std::string problem{};
    Watching watching = Watching::kOn;
    bool in_doubt = false;  // a probe is under way that may take longer than others
    bool abilities_known = false;
    bool keyed = false;
    asio::ip::tcp::endpoint worked{};  // the address of the last connection
    TimePoint models_due{};            // to be read again
    std::vector<Tell> asking{};        // to be told by the next probe
    std::vector<Tell> awaiting{};      // by the one under way
  };
  using WatchedPtr = std::shared_ptr<Watched>;

  // One GET of `path`: the body of an answer, and what is wrong unless it is a success.
  struct Reply {
    ProbeResult result;
    std::string body;
    std::string problem;
    unsigned status = 0;
  };
  Task<Reply> get(std::shared_ptr<const Endpoint> at, std::string path, Duration patience);
  void start_watching(const WatchedPtr& watched);
  // These two keep what they watch alive: its place may be another's by the time they end.
  Task<void> watch(WatchedPtr of);
  Task<void> watch_metrics(WatchedPtr of);
  static void end_watching(Watched& watched, Watching how);
  Task<Reply> learn_models(Watched& watched);
  Task<Reply> look_for_life(Watched& watched);
  Task<Reply> ask_for_life(Watched& watched, Duration time);
  void set_keyed(Watched& watched, bool keyed);
  Task<void> refresh(WatchedPtr of);
  void end_refresh();
  Task<void> learn_abilities(Watched& watched);
  void tell(const Watched& watched, BackendEvent event);

  asio::io_context& io_;
  Intervals intervals_;
  const Events events_;
  std::vector<WatchedPtr> watched_;   // by BackendId
  std::vector<Done> refreshing_for_;  // who waits for it
  std::size_t refreshing_ = 0;        // parts of it that are under way
  TimePoint next_refresh_{};          // not before
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace batchproxy
