// proxy/app.cc - see app.h.
#include "proxy/app.h"

#include <algorithm>
#include <csignal>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace batchproxy {

namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr Duration kDrainLook = std::chrono::milliseconds(20);
constexpr auto kProbeInterval = std::chrono::milliseconds(50);
constexpr Duration kAnnounceAnyway = std::chrono::seconds(10);
constexpr int kNoEngineLeft = 4;  // exit code

void end_on_error(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

Duration to_duration(Seconds seconds) {
  return std::chrono::duration_cast<Duration>(seconds);
}

std::string url(const asio::ip::tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return fmt::format("http://{}:{}", host, endpoint.port());
}

FlushPolicy flush_policy(const Options& options) {
  if (!*options.worker.enable_batching) return FlushPolicy::kOff;
  return *options.proxy.flush == "fixed" ? FlushPolicy::kFixed : FlushPolicy::kEager;
}

MergePolicy merge_policy(std::string_view name) {
  if (name == "always") return MergePolicy::kAlways;
  return name == "off" ? MergePolicy::kOff : MergePolicy::kAuto;
}

std::string_view to_string(FlushPolicy policy) {
  switch (policy) {
    case FlushPolicy::kEager:
      return "eager";
    case FlushPolicy::kFixed:
      return "fixed";
    case FlushPolicy::kOff:
      return "off";
  }
  return "unknown";
}

}  // namespace

App::App(const Options& options, Topology topology, const std::string& self)
    : options_(options),
      topology_(std::move(topology)),
      console_(options_),
      monitor_(io_,
               {to_duration(*options.proxy.health_interval),
                to_duration(*options.proxy.metrics_interval)},
               {[this](BackendId backend, Health health, const std::string& why) {
                  on_health(backend, health, why);
                },
                [this](ModelTablePtr models) {
                  models_ = models->names();
                  data_.set_models(std::move(models));
                },
                [this](BackendId backend, const Abilities& abilities) {
                  data_.set_abilities(backend, abilities);
                  if (abilities.keyed) warn_of_key(backend);
                },
                [this](BackendId backend, const std::optional<EngineMetrics>& metrics) {
                  data_.set_metrics(backend, metrics);
                }}),
      data_(data_plane_setup(), topology_.sites),
      admin_(listen_on(io_, *options.proxy.admin, "--admin")),
      signals_(io_, SIGINT, SIGTERM),
      ticker_(io_),
      drain_timer_(io_),
      listen_url_(url(data_.listen(*options.proxy.listen))),
      started_(std::chrono::steady_clock::now()) {
  for (const BackendSite& site : topology_.sites) monitor_.add(&site.endpoint);
  if (!topology_.plans.empty()) make_launcher(self);
}

App::~App() = default;

DataPlane::Setup App::data_plane_setup() {
  DataPlane::Setup setup;
  const ProxyOptions& proxy = options_.proxy;
  setup.settings.max_body = static_cast<std::uint64_t>(*proxy.max_body_bytes);
  setup.settings.request_timeout = to_duration(*proxy.request_timeout);
  setup.settings.connect_timeout = to_duration(*proxy.connect_timeout);
  setup.settings.idle_timeout = to_duration(*proxy.idle_timeout);
  setup.settings.max_buffered = static_cast<std::uint64_t>(*proxy.max_buffered_bytes);
  setup.settings.descriptors = descriptor_limit();
  setup.settings.max_clients =
      client_limit(static_cast<std::uint64_t>(*proxy.max_connections), descriptor_limit());
  setup.settings.body_pace.stall = to_duration(*proxy.stall_timeout);
  setup.settings.write_stall = to_duration(*proxy.stall_timeout);
  setup.scheduler.policy = flush_policy(options_);
  setup.scheduler.batch_size = static_cast<std::uint32_t>(*options_.worker.batch_size);
  setup.scheduler.batch_timeout = to_duration(*options_.worker.batch_timeout);
  setup.scheduler.max_queue = static_cast<std::size_t>(*proxy.max_queue);
  setup.scheduler.affinity = *proxy.affinity;
  setup.scheduler.merge = merge_policy(*proxy.merge);
  // Bodies are looked into for no more than the scheduler will use.
  BodyPolicy& bodies = setup.settings.bodies;
  const bool batches = setup.scheduler.policy != FlushPolicy::kOff;
  bodies.prefixes = setup.scheduler.policy == FlushPolicy::kEager && setup.scheduler.affinity &&
                    topology_.sites.size() > 1;
  bodies.packing = batches && setup.scheduler.merge != MergePolicy::kOff;
  bodies.list_piece = batches ? setup.scheduler.batch_size : 0;
  bodies.max_list = setup.scheduler.max_queue;
  bodies.limits.prompts = static_cast<std::uint32_t>(*proxy.max_prompts);
  setup.threads = static_cast<std::size_t>(*proxy.io_threads);
  if (setup.threads == 0) setup.threads = std::max(1u, std::thread::hardware_concurrency());
  setup.report_failure = [this](BackendId backend, bool unreachable) {
    monitor_.report_failure(backend, unreachable);
  };
  if (setup.scheduler.policy == FlushPolicy::kFixed) {
    setup.on_batch_done = [this](const BatchSummary& batch) {
      asio::post(io_, [this, batch] { on_batch_done(batch); });
    };
  }
  return setup;
}

void App::make_launcher(const std::string& self) {
  LauncherHooks hooks;
  hooks.events = this;
  hooks.self_executable = self;
  hooks.inherited = process_environment();
  // The launcher knows no HTTP: what the monitor has seen is what counts.
  hooks.probe = [this](const EnginePlan& plan, std::function<void(bool)> tell) {
    tell(monitor_.health(static_cast<BackendId>(plan.index)) == Health::kReady);
  };
  hooks.probe_interval = kProbeInterval;
  engines_.resize(topology_.plans.size(), EngineState::kStarting);
  launcher_ = std::make_unique<Launcher>(io_, options_, topology_.plans, std::move(hooks));
}

int App::run() {
  const std::string admin_url = url(admin_.local_endpoint());
  console_.banner(topology_, listen_url_, admin_url);
  asio::co_spawn(io_.get_executor(), serve_admin(io_, admin_, [this] { return snapshot(); }),
                 &end_on_error);
  wait_for_signal();
  monitor_.start();
  data_.start();
  if (launcher_) launcher_->start();
  tick();
  io_.run();
  return exit_code_;
}

Snapshot App::snapshot() const {
  Snapshot now;
  now.uptime = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  now.draining = state_ != State::kServing;
  now.flush = to_string(flush_policy(options_));
  now.models = models_;
  for (const BackendSite& site : topology_.sites) {
    BackendSnapshot backend;
    backend.name = site.endpoint.name;
    backend.url = "http://" + site.endpoint.authority;
    backend.health = monitor_.health(site.endpoint.id);
    if (backend.health == Health::kUnready) backend.problem = monitor_.problem(site.endpoint.id);
    if (!engines_.empty() && engines_[site.endpoint.id] == EngineState::kStarting) {
      backend.health = Health::kUnknown;  // it does not answer yet, and nobody expects it to
    }
    backend.simulated = site.simulated;
    backend.gpus = site.gpus;
    now.backends.push_back(std::move(backend));
  }
  data_.collect(now);
  return now;
}

// --- what happens while serving -----------------------------------------------------------------

void App::on_health(BackendId backend, Health health, const std::string& why) {
  data_.set_ready(backend, health == Health::kReady, monitor_.any_ready());
  const Endpoint& endpoint = topology_.sites[backend].endpoint;
  // While an engine of ours loads, and once it has ended, the launcher tells about it.
  const bool ours = !engines_.empty();
  if (health == Health::kReady) {
    if (announced_) spdlog::info("{} is ready again", endpoint.name);
  } else if (state_ == State::kServing && (!ours || engines_[backend] == EngineState::kUp)) {
    spdlog::warn("{} (http://{}) is not ready: {}. No requests are sent to it until it is",
                 endpoint.name, endpoint.authority, why);
  }
  if (!ours || engines_[backend] == EngineState::kUp) announce(true);
}

// Says how to use the backends that are up, `complete` or not, once.
void App::announce(bool complete_only) {
  const Snapshot now = snapshot();
  const auto ready = std::count_if(now.backends.begin(), now.backends.end(),
                                   [](const auto& b) { return b.health == Health::kReady; });
  const auto lost = std::count(engines_.begin(), engines_.end(), EngineState::kLost);
  const bool complete = static_cast<std::size_t>(ready + lost) == now.backends.size() && ready > 0;
  if (announced_ || ready == 0 || (complete_only && !complete)) return;
  announced_ = true;
  console_.how_to_use(now, listen_url_);
}

void App::warn_of_key(BackendId backend) {
  spdlog::warn(
      "{} asks for an API key. It gets each client's own, and whatever model they name; "
      "to send one for all, write it as backends[].api_key",
      topology_.sites[backend].endpoint.name);
}

void App::on_batch_done(const BatchSummary& batch) {
  console_.batch_done(batch, topology_.sites[batch.backend].endpoint.name);
}

void App::tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](const ErrorCode& error) {
    if (error) return;
    console_.tick(snapshot());
    // One that stays away must not keep the others' readiness from being told.
    if (std::chrono::steady_clock::now() - started_ > kAnnounceAnyway) announce(false);
    tick();
  });
}

// --- the end ------------------------------------------------------------------------------------

void App::wait_for_signal() {
  signals_.async_wait([this](const ErrorCode& error, int) {
    if (error) return;
    shut_down(0);
    wait_for_signal();
  });
}

// The first call drains; another one, from a second signal, stops waiting for whatever we wait for.
void App::shut_down(int exit_code) {
  switch (state_) {
    case State::kServing: {
      state_ = State::kDraining;
      exit_code_ = exit_code;
      const Snapshot now = snapshot();
      const auto open = now.queued + now.inflight;
      console_.line(open == 0 ? std::string("stopping")
                              : fmt::format("stopping: {} requests under way get up to {:.0f} s to "
                                            "finish; Ctrl-C again to cut them off",
                                            open, options_.proxy.drain_timeout->count()));
      data_.drain();
      await_clients(std::chrono::steady_clock::now() + to_duration(*options_.proxy.drain_timeout));
      break;
    }
    case State::kDraining:
      data_.close_all();
      break;
    case State::kStopping:
      // A process that the kernel will not let go of must not keep us: a third signal ends the
      // wait.
      if (killed_) {
        spdlog::error("gave up waiting for the engines to end; look for them with `ps`");
        exit_code_ = 1;
        io_.stop();
        break;
      }
      killed_ = true;
      launcher_->kill_now();
      break;
  }
}

void App::await_clients(TimePoint until) {
  if (data_.drained()) return stop_engines();
  if (std::chrono::steady_clock::now() >= until) data_.close_all();
  drain_timer_.expires_after(kDrainLook);
  drain_timer_.async_wait([this, until](const ErrorCode& error) {
    if (!error) await_clients(until);
  });
}

void App::stop_engines() {
  state_ = State::kStopping;
  monitor_.stop();
  const auto done = [this] {
    const Snapshot end = snapshot();
    const auto count = [&end](Finish finish) {
      return end.finished[static_cast<std::size_t>(finish)];
    };
    const std::uint64_t good = count(Finish::kOk), left = count(Finish::kClientGone);
    console_.line(fmt::format(
        "stopped: {} requests received, {} answered with success, {} with an error; {} clients "
        "left or were cut off",
        end.received, good, end.finished_total() - good - left, left));
    io_.stop();
  };
  if (!launcher_) return done();
  console_.line("stopping the engines");
  launcher_->stop(done);
}

// --- engines ------------------------------------------------------------------------------------

void App::on_started(int index, pid_t pid) {
  show_engine(index, fmt::format("started, pid {}", pid), true);
}

void App::on_stage(int index, const std::string& text) {
  show_engine(index, text, false);
}

void App::on_ready(int index, double seconds) {
  show_engine(index, fmt::format("ready after {:.1f} s", seconds), true);
  engines_[static_cast<std::size_t>(index)] = EngineState::kUp;
  announce(true);
}

void App::show_engine(int index, const std::string& text, bool milestone) {
  console_.engine(static_cast<std::size_t>(index), text, milestone,
                  std::chrono::steady_clock::now());
}

void App::on_failed(int index, const std::string& reason,
                    const std::vector<std::string>& last_log_lines) {
  show_engine(index, "failed", true);
  spdlog::error("engine-{} did not start: {}", index, reason);
  for (const std::string& line : last_log_lines) spdlog::error("  | {}", line);
  engine_lost(index);
}

void App::on_exited(int index, const std::string& description) {
  spdlog::error("engine-{} has ended: {}. Its log is {}", index, description,
                topology_.plans[static_cast<std::size_t>(index)].log_file);
  engine_lost(index);
}

void App::engine_lost(int index) {
  engines_[static_cast<std::size_t>(index)] = EngineState::kLost;
  monitor_.retire(static_cast<BackendId>(index));
  announce(true);
  const bool all_lost = std::all_of(engines_.begin(), engines_.end(),
                                    [](EngineState state) { return state == EngineState::kLost; });
  if (!all_lost || state_ != State::kServing) return;
  spdlog::error("no engine is left; stopping");
  shut_down(kNoEngineLeft);
}

}  // namespace batchproxy
