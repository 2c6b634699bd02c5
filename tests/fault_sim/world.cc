// tests/fault_sim/world.cc - see world.h.
#include "tests/fault_sim/world.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/health/backend_monitor.h"
#include "backends/health/health_tracker.h"
#include "backends/model_table.h"
#include "backends/registry.h"
#include "proxy/request/ticket_builder.h"
#include "tests/fault_sim/sim_request.h"

namespace batchproxy::fault_sim {

namespace {

constexpr Duration kPatience = HealthTracker::kProbeTime;
constexpr Duration kEager = HealthTracker::kEagerPause;
const Duration kHealthTimeout = BackendMonitor::Intervals{}.patience;
// In which all must end once nothing goes wrong any more: thousands may wait for one slow engine.
constexpr Duration kSettling = 400s;
constexpr Duration kLastWords = 4s;  // in which all must end once it is cut short
constexpr int kHanging = 1;          // the trouble that engines stand still

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

class World {
 public:
  World(std::uint64_t seed, bool trace, Scale scale);
  Tally run();

 private:
  using Tell = std::function<void(bool is_ready)>;

  // What App and BackendMonitor know of a backend.
  struct Watched {
    BackendId id = 0;
    FakeServer* server = nullptr;
    HealthTracker tracker;
    bool retired = false;
    bool in_doubt = false;  // a probe is under way that may take longer than others
    bool waiting = false;   // for the next probe
    unsigned probe = 0;     // which one
    std::vector<Tell> asking{}, awaiting{};

    bool is_ready() const { return tracker.health() == Health::kReady; }
    void answer(std::vector<Tell>& asked) const {
      for (const Tell& tell : std::exchange(asked, {})) tell(is_ready());
    }
  };
  using WatchedPtr = std::shared_ptr<Watched>;

  SchedulerOptions any_options();
  std::vector<BackendRecord> any_backends();
  void everywhere(std::function<void(SimThread&)> what);

  // Backends.
  void introduce(const BackendRecord& backend, bool is_new);
  void watch(const BackendRecord& backend);
  void probe(const WatchedPtr& watched);
  void on_probe(const WatchedPtr& watched, ProbeResult result);
  void probe_later(const WatchedPtr& watched, Duration wait);
  void report_failure(BackendId id, bool unreachable);
  void look_at(BackendId id, Tell tell);
  void tell_health(const Watched& watched);
  void set_models();
  void look_at_metrics();
  void reload(const std::vector<BackendRecord>& wanted);
  void reload_later();

  // Clients.
  void start_client(std::uint64_t client);
  void burst();
  Ask any_ask(std::uint64_t client);
  void send(Ask ask, std::function<void()> ended);

  // Trouble.
  void trouble();
  void outage();
  void calm();
  void drain();
  void check() const;
  void check_holding();
  void check_end() const;

  FakeServer& any_server() {
    return *servers_[dice_.below(static_cast<std::uint32_t>(scale_.servers))];
  }
  Duration pause() { return dice_.between(Duration(100ms), Duration(8s)); }

  const Scale scale_;
  Dice dice_;
  VirtualTime time_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
  std::vector<bool> serves_b_;
  std::deque<SimThread> threads_;
  std::deque<SimRequest> requests_;  // outlive the lane, which links their tickets
  SchedulerOptions options_;
  SimLane lane_;
  PoisonList poison_;
  BackendRegistry registry_;
  std::map<BackendId, WatchedPtr> watched_;

  // Of this history.
  bool storms_ = false, hangs_ = false, drains_ = false, reloads_ = false, looks_ = false;
  Duration active_{}, think_{}, health_interval_{}, attempt_timeout_{}, trouble_every_{};
  std::uint32_t poisons_ = 0, leavers_ = 0, hurried_ = 0;  // percent
  std::vector<int> troubles_;
  bool over_ = false;  // no new requests
  bool calm_ = false;
  std::uint64_t numbers_ = 0;
  Tally tally_;
};

World::World(std::uint64_t seed, bool trace, Scale scale)
    : scale_(scale),
      dice_(seed),
      time_(trace),
      options_(any_options()),
      lane_(time_, dice_, options_),
      registry_({}) {
  for (std::size_t i = 0; i < scale_.servers; ++i) {
    servers_.push_back(std::make_unique<FakeServer>(time_, dice_, "server-" + std::to_string(i)));
    serves_b_.push_back(i == 0 || dice_.chance(50));
  }
  // Each history has its own weather: not everything goes wrong in every one.
  drains_ = dice_.chance(30);
  reloads_ = dice_.chance(50);
  looks_ = dice_.chance(30);
  active_ = dice_.between(Duration(5s), Duration(40s));
  think_ = dice_.between(Duration(20ms), Duration(1s));
  health_interval_ = dice_.between(Duration(200ms), Duration(5s));
  if (dice_.chance(60)) attempt_timeout_ = dice_.between(Duration(500ms), Duration(8s));
  trouble_every_ = dice_.between(Duration(200ms), Duration(8s));
  poisons_ = dice_.chance(50) ? dice_.between(1u, 4u) : 0;
  leavers_ = dice_.chance(60) ? dice_.between(1u, 20u) : 0;
  hurried_ = dice_.chance(60) ? dice_.between(1u, 20u) : 0;
  storms_ = dice_.chance(10);
  for (int kind = 0; kind < 10; ++kind) {
    if (dice_.chance(35)) troubles_.push_back(kind);
  }
  // Engines that stand still for long, while their metrics are looked at.
  hangs_ = dice_.chance(25);
  if (hangs_) {
    looks_ = true;
    troubles_.push_back(kHanging);
    attempt_timeout_ = {};
    options_.stuck_timeout = dice_.between(Duration(1s), Duration(3s));
    lane_.set_options(options_);
  }
  // Many requests, and errors from everyone: what the retry budget is for.
  if (storms_) troubles_ = {2, 3};
  const std::uint32_t threads = dice_.between(1u, 2u);
  for (std::uint32_t i = 0; i < threads; ++i) {
    SimThread& thread = threads_.emplace_back(time_, dice_, lane_.add_handle());
    thread.attempt_timeout = attempt_timeout_;
    thread.holds_for_room = options_.policy != FlushPolicy::kOff;
    thread.poison = &poison_;
    thread.report_failure = [this, &thread](BackendId id, bool unreachable) {
      thread.to_control.send([=, this] { report_failure(id, unreachable); });
    };
    thread.look_at = [this, &thread](BackendId id, Tell tell) {
      thread.to_control.send([=, this] { look_at(id, tell); });
    };
  }
  // DataPlane's.
  lane_.on_stall = [this](const Stall& stall) {
    if (!stall.stuck) return;
    everywhere([stall](SimThread& thread) { tell_stuck(thread.in_flight, stall.backend); });
  };
  lane_.events().on_recall = [this](const Recall& recall) {
    everywhere([recall](SimThread& thread) { tell_recall(thread.in_flight, recall); });
  };
  time_.after_each([this] { check(); });
}

SchedulerOptions World::any_options() {
  SchedulerOptions options;
  const std::uint32_t policy = dice_.below(10);
  options.policy = policy < 7   ? FlushPolicy::kEager
                   : policy < 9 ? FlushPolicy::kFixed
                                : FlushPolicy::kOff;
  options.batch_size = dice_.between(1u, 8u);
  options.batch_timeout = dice_.between(Duration(10ms), Duration(1s));
  options.max_queue = dice_.chance(10) ? 150 : 100000;
  options.hold_timeout = dice_.between(Duration(500ms), Duration(30s));
  options.affinity = dice_.chance(70);
  options.merge = dice_.chance(40) ? MergePolicy::kAlways : MergePolicy::kAuto;
  options.stuck_timeout =
      dice_.chance(30) ? Duration::zero() : dice_.between(Duration(1s), Duration(10s));
  return options;
}

std::vector<BackendRecord> World::any_backends() {
  std::vector<BackendRecord> backends;
  const auto most = dice_.between(1u, static_cast<std::uint32_t>(scale_.servers) - 1);
  for (std::size_t i = 0; i < scale_.servers && backends.size() < most; ++i) {
    const bool needed = scale_.servers - i <= most - backends.size();
    if (!needed && dice_.chance(40)) continue;
    Endpoint endpoint;
    endpoint.name = endpoint.authority = servers_[i]->name();
    BackendRecord& backend = backends.emplace_back();
    backend.endpoint = std::make_shared<Endpoint>(endpoint);
    backend.traits.max_num_seqs = dice_.between(1u, 16u);
  }
  return backends;
}

void World::everywhere(std::function<void(SimThread&)> what) {
  for (SimThread& thread : threads_) {
    thread.lane.to_thread().send([&thread, what] { what(thread); });
  }
}

Tally World::run() {
  static constexpr std::array kPolicies = {"eager", "fixed", "off"};
  time_.note("{}, batches of {} or {:.3f} s, hold {:.3f} s, attempts of {:.3f} s{}{}{}",
             kPolicies[static_cast<std::size_t>(options_.policy)], options_.batch_size,
             seconds(options_.batch_timeout), seconds(options_.hold_timeout),
             seconds(attempt_timeout_), drains_ ? ", drains" : "", reloads_ ? ", reloads" : "",
             looks_ ? ", looks" : "");
  reload(any_backends());
  time_.run_until(time_.now() + 1ms);  // the threads know who is expected before they listen
  const std::uint32_t clients = dice_.between(1u, scale_.clients);
  for (std::uint32_t client = 0; client < clients; ++client) {
    time_.after(dice_.between(Duration(1us), Duration(1s)),
                [this, client] { start_client(client); });
  }
  time_.after(pause(), [this] { burst(); });
  if (!troubles_.empty()) time_.after(pause(), [this] { trouble(); });
  if (reloads_) {
    time_.after(pause(), [this] { reload(any_backends()); });
  }
  if (looks_) look_at_metrics();
  check_holding();
  if (drains_) {
    time_.run_until(time_.now() + dice_.between(Duration(1s), active_));
    drain();
  } else {
    time_.run_until(time_.now() + active_);
    calm();
    time_.run_until(time_.now() + kSettling);
  }
  check_end();
  tally_.suspects = lane_.oracle().suspects();
  for (const SimThread& thread : threads_) {
    tally_.requests += thread.metrics.received.get();
    tally_.ok += thread.metrics.finished[static_cast<std::size_t>(Finish::kOk)].get();
    tally_.cancelled +=
        thread.metrics.finished[static_cast<std::size_t>(Finish::kClientGone)].get();
    tally_.retried += thread.metrics.retried.get();
    tally_.beside += thread.beside;
    tally_.merged += thread.merged.size();
    tally_.split += thread.metrics.split_calls.get();
  }
  return tally_;
}

// --- backends: App, BackendRegistry, BackendMonitor ----------------------------------------------

// BackendControl::replace().
void World::reload(const std::vector<BackendRecord>& wanted) {
  const auto in_use = [this](BackendId id) { return lane_.inflight(id) > 0; };
  const RosterPtr before = registry_.roster();
  const auto changes = registry_.replace(wanted, in_use);
  if (!changes) {
    // Those that still finish what they had keep their ids: a reload may be refused.
    if (2 * scale_.servers <= BackendSet::kMax) throw Violation("no room for so few backends");
    time_.note("reload: refused, there is no room for it yet");
    return reload_later();
  }
  for (const BackendId id : changes->added) {
    time_.note("reload: {} comes as backend {}", registry_[id].name(), id);
    introduce(registry_[id], true);
  }
  for (const BackendId id : changes->removed) {
    time_.note("reload: backend {} goes", id);
    lane_.set_up(id, false);
    everywhere([id](SimThread& thread) { thread.ready.erase(id); });
    Watched& gone = *watched_[id];  // BackendMonitor::remove()
    gone.tracker.on_unreachable();
    gone.retired = true;
    gone.answer(gone.awaiting);
    gone.answer(gone.asking);
  }
  set_models();
  for (const BackendId id : changes->added) watch(registry_[id]);
  for (const BackendPtr& backend : registry_.roster()->present()) {
    const BackendRecord* was = before->find(backend->id());
    if (was == nullptr || was->generation != backend->generation) continue;
    if (was->traits != backend->traits) introduce(*backend, false);
  }
  ++tally_.reloads;
  if (tally_.reloads == 1) return;
  const FlushPolicy policy = options_.policy;
  options_ = any_options();
  options_.policy = policy;  // as plan_reload() has it
  lane_.set_options(options_);
  reload_later();
}

void World::reload_later() {
  if (over_) return;
  time_.after(pause(), [this] {
    if (!over_) reload(any_backends());
  });
}

// DataPlane::set_backend().
void World::introduce(const BackendRecord& backend, bool is_new) {
  const BackendId id = backend.id();
  const auto named = [&](const auto& server) { return server->name() == backend.name(); };
  FakeServer* server = std::ranges::find_if(servers_, named)->get();
  everywhere([id, server](SimThread& thread) { thread.upstreams[id] = server; });
  lane_.set_backend(id, {.max_num_seqs = backend.traits.max_num_seqs, .kv_tokens = 20000}, is_new);
}

// BackendMonitor::add().
void World::watch(const BackendRecord& backend) {
  const auto named = [&](const auto& server) { return server->name() == backend.name(); };
  const BackendId id = backend.id();
  const auto watched = std::make_shared<Watched>();
  watched->id = id;
  watched->server = std::ranges::find_if(servers_, named)->get();
  watched_[id] = watched;
  probe(watched);
}

// One round of BackendMonitor::watch(). What the probe saw is told later, and may be wrong by then.
void World::probe(const WatchedPtr& watched) {
  if (watched->retired) return;
  watched->waiting = false;
  watched->awaiting.swap(watched->asking);
  const ProbeResult result = watched->server->probe();
  const Duration patience = watched->awaiting.empty() ? watched->tracker.probe_time(
                                                            time_.now(), kPatience, kHealthTimeout)
                                                      : kPatience;
  watched->in_doubt = patience > kPatience;
  const Duration took =
      result == ProbeResult::kSilent ? patience : dice_.between(Duration(200us), Duration(1s));
  time_.after(took, [=, this] { on_probe(watched, result); });
}

void World::on_probe(const WatchedPtr& watched, ProbeResult result) {
  watched->in_doubt = false;
  if (watched->retired) return;
  if (result == ProbeResult::kOk && watched->tracker.health() != Health::kReady) {
    std::vector<ServedModel> serves{{"a", "{}"}};
    for (std::size_t i = 0; i < scale_.servers; ++i) {
      if (servers_[i].get() == watched->server && serves_b_[i]) serves.push_back({"b", "{}"});
    }
    registry_.set_served(watched->id, {ModelList::Kind::kListed, std::move(serves)});
    set_models();
  }
  if (watched->tracker.on_probe(result, time_.now(), kHealthTimeout)) tell_health(*watched);
  const bool ready = watched->tracker.health() == Health::kReady;
  watched->answer(watched->awaiting);
  if (!watched->asking.empty()) return probe_later(watched, Duration::zero());
  probe_later(watched, ready ? health_interval_ : std::min(health_interval_, kEager));
}

void World::probe_later(const WatchedPtr& watched, Duration wait) {
  watched->waiting = true;
  time_.after(wait, [=, this, which = ++watched->probe] {
    if (which == watched->probe) probe(watched);
  });
}

void World::report_failure(BackendId id, bool unreachable) {
  const WatchedPtr& watched = watched_.at(id);
  if (watched->retired) return;
  if (unreachable && watched->tracker.on_unreachable()) tell_health(*watched);
  if (watched->waiting) probe_later(watched, Duration::zero());
}

void World::look_at(BackendId id, Tell tell) {
  const WatchedPtr& watched = watched_.at(id);
  if (watched->retired) return tell(watched->is_ready());
  if (watched->in_doubt) return tell(watched->is_ready());
  watched->asking.push_back(std::move(tell));
  if (watched->waiting) probe_later(watched, Duration::zero());
}

// DataPlane::set_up().
void World::tell_health(const Watched& watched) {
  const bool up = watched.tracker.health() == Health::kReady;
  const BackendId id = watched.id;
  lane_.set_up(id, up);
  everywhere([id, up](SimThread& thread) {
    if (up) {
      thread.ready.insert(id);
    } else {
      thread.ready.erase(id);
    }
  });
}

// DataPlane::publish(), of who serves what.
void World::set_models() {
  const ModelTablePtr models = registry_.roster()->models();
  everywhere([models](SimThread& thread) { thread.models = models; });
  lane_.set_routes(make_routes(*models));
}

// Without it nothing wakes the scheduler but its own timer, which is what most histories are for.
void World::look_at_metrics() {
  for (const auto& [id, watched] : watched_) {
    if (watched->retired || watched->tracker.health() != Health::kReady) continue;
    std::optional<EngineSample> sample;
    if (!dice_.chance(10)) sample = watched->server->sample();
    lane_.observe(id, sample);
  }
  time_.after(250ms, [this] { look_at_metrics(); });
}

// --- clients ------------------------------------------------------------------------------------

void World::start_client(std::uint64_t client) {
  if (over_) return;
  send(any_ask(client), [this, client] {
    const Duration thinks = dice_.between(Duration(1ms), think_);
    time_.after(thinks, [this, client] { start_client(client); });
  });
}

void World::burst() {
  if (over_) return;
  const std::uint32_t size = dice_.between(1u, storms_ ? 500u : 30u);
  for (std::uint32_t i = 0; i < size; ++i) send(any_ask(1000 + dice_.below(3)), [] {});
  time_.after(dice_.between(Duration(1s), Duration(10s)), [this] { burst(); });
}

Ask World::any_ask(std::uint64_t client) {
  Ask ask;
  ask.number = ++numbers_;
  ask.client = client;
  ask.model = dice_.chance(20) ? "" : dice_.chance(30) ? "b" : "a";
  if (dice_.chance(poisons_)) {
    ask.marker = Marker::kPoison;
  } else if (dice_.chance(5)) {
    ask.marker = dice_.chance(50) ? Marker::kAlways400 : Marker::kAlways500;
  }
  if (dice_.chance(hurried_)) ask.timeout = dice_.between(Duration(10ms), Duration(5s));
  ask.pieces = {1};
  if (dice_.chance(10)) {
    ask.pieces.assign(dice_.between(1u, 3u), dice_.between(1u, 4u));
  } else {
    ask.streaming = dice_.chance(15);
  }
  const bool patient = ask.timeout == Ask::kLong;
  const bool one_prompt = ask.pieces == std::vector<std::uint32_t>{1};
  ask.merges = patient && one_prompt && !ask.streaming && dice_.chance(60);
  if (dice_.chance(40)) ask.passage = dice_.below(3);
  return ask;
}

void World::send(Ask ask, std::function<void()> ended) {
  SimThread& thread = threads_[ask.client % threads_.size()];
  const bool leaves = dice_.chance(leavers_);
  SimRequest& request = requests_.emplace_back(thread, std::move(ask),
                                               [ended = std::move(ended)](Finish) { ended(); });
  time_.note("request {} for `{}` of client {}{}", request.ask().number, request.ask().model,
             request.ask().client, request.ask().marker == Marker::kPoison ? ", a poison" : "");
  request.serve();
  if (!leaves) return;
  time_.after(dice_.between(Duration(10us), Duration(2s)), [&request] {
    if (!request.is_finished()) request.on_client_gone();
  });
}

// --- trouble ------------------------------------------------------------------------------------

void World::trouble() {
  if (calm_) return;
  const int kind = troubles_[dice_.below(static_cast<std::uint32_t>(troubles_.size()))];
  FakeServer& server = any_server();
  static constexpr std::array kMoods = {Mood::kSlow,    Mood::kHangs, Mood::kServerErrors,
                                        Mood::kGarbage, Mood::kBusy,  Mood::kBareErrors,
                                        Mood::kNotReady};
  if (kind < 7) {
    const bool all = dice_.chance(storms_ ? 70 : 15);
    for (auto& each : servers_) {
      if (!all && each.get() != &server) continue;
      FakeServer& moody = *each;
      time_.note("{}: mood {}", moody.name(), kind);
      moody.set_mood(kMoods[static_cast<std::size_t>(kind)]);
      const bool long_one = hangs_ && kind == kHanging;
      const Duration lasts = long_one ? dice_.between(Duration(3s), Duration(25s)) : pause();
      time_.after(lasts, [&moody] { moody.set_mood(Mood::kWell); });
    }
  } else if (kind < 9) {
    ++tally_.crashes;
    server.crash(pause());
  } else {
    outage();
  }
  time_.after(dice_.between(Duration(50ms), trouble_every_), [this] { trouble(); });
}

void World::outage() {
  const Duration away = dice_.between(Duration(500ms), Duration(40s));
  for (auto& server : servers_) server->crash(away + dice_.between(Duration(1ms), Duration(2s)));
}

// Nothing goes wrong any more.
void World::calm() {
  time_.note("calm");
  over_ = calm_ = true;
  for (auto& server : servers_) {
    server->make_immune();
    server->start();
    server->set_mood(Mood::kWell);
  }
}

// App::shut_down() and App::await_clients(). Trouble goes on.
void World::drain() {
  time_.note("drain");
  ++tally_.drains;
  over_ = true;
  lane_.drain();
  time_.run_until(time_.now() + dice_.between(Duration(100ms), Duration(10s)));
  time_.note("cut short");
  everywhere([](SimThread& thread) { thread.shutting_down = true; });
  time_.run_until(time_.now() + 1ms);
  for (SimRequest& request : requests_) request.cut_short();
  time_.run_until(time_.now() + kLastWords);
}

// --- checks -------------------------------------------------------------------------------------

void World::check() const {
  for (const SimThread& thread : threads_) {
    const ThreadMetrics& metrics = thread.metrics;
    std::uint64_t sum = metrics.queued.get() + metrics.inflight.get();
    for (const Count& finished : metrics.finished) sum += finished.get();
    if (sum != metrics.received.get()) throw Violation("a request is lost, or counted twice");
  }
}

void World::check_holding() {
  lane_.oracle().check_holding();
  time_.after(1s, [this] { check_holding(); });
}

void World::check_end() const {
  for (const SimRequest& request : requests_) {
    if (request.is_finished()) continue;
    throw Violation(fmt::format("request {} has not ended", request.ask().number));
  }
  for (const SimThread& thread : threads_) {
    const bool none = thread.metrics.queued.get() == 0 && thread.metrics.inflight.get() == 0;
    if (!none) throw Violation("requests are counted as under way at the end");
  }
  lane_.oracle().check_empty();
}

}  // namespace

Tally live_through(std::uint64_t seed, bool trace, Scale scale) {
  World world(seed, trace, scale);
  return world.run();
}

void Tally::add(const Tally& other) {
  requests += other.requests;
  ok += other.ok;
  retried += other.retried;
  cancelled += other.cancelled;
  reloads += other.reloads;
  crashes += other.crashes;
  drains += other.drains;
  suspects += other.suspects;
  beside += other.beside;
  merged += other.merged;
  split += other.split;
}

}  // namespace batchproxy::fault_sim
