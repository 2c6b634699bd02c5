// proxy/app.cc - see app.h. One thing for now: wiring, narration and reload share
// what they know of each engine; they part when the engines have a registry.
#include "proxy/app.h"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "configs/host_port.h"
#include "proxy/control/log_level.h"
#include "proxy/control/settings.h"

namespace batchproxy {

namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr Duration kDrainLook = std::chrono::milliseconds(20);
constexpr auto kProbeInterval = std::chrono::milliseconds(50);
constexpr Duration kAnnounceAnyway = std::chrono::seconds(10);
constexpr double kRefusalsPause = 10;  // seconds between two lines about requests refused
constexpr Duration kLastWords = std::chrono::seconds(2);  // for the errors of a shutdown
constexpr int kNoEngineStarted = 4;                       // exit code

void end_on_error(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

spdlog::level::level_enum level_of(Severity severity) {
  if (severity == Severity::kNotice) return spdlog::level::info;
  return severity == Severity::kWarning ? spdlog::level::warn : spdlog::level::err;
}

std::string url(const asio::ip::tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return fmt::format("http://{}:{}", host, endpoint.port());
}

}  // namespace

App::App(const Options& options, Topology topology, ApiKeysPtr keys, const std::string& self,
         LoadAgain load_again)
    : options_(options),
      topology_(std::move(topology)),
      sites_(topology_.sites),
      keys_(std::move(keys)),
      load_again_(std::move(load_again)),
      console_(options_),
      monitor_(io_,
               {to_duration(*options.proxy.health_interval),
                to_duration(*options.proxy.metrics_interval),
                to_duration(*options.proxy.health_timeout)},
               {[this](BackendId backend, Health health, const std::string& why) {
                  on_health(backend, health, why);
                },
                [this](ModelTablePtr models) {
                  models_ = std::move(models);
                  data_.set_models(models_);
                },
                [this](BackendId backend, const Abilities& abilities) {
                  data_.set_abilities(backend, abilities);
                  tell_of_key(backend, abilities.keyed);
                },
                [this](BackendId backend, const std::optional<EngineMetrics>& metrics) {
                  data_.set_metrics(backend, metrics);
                },
                [this](BackendId backend) { return data_.answered(backend); },
                [this](BackendId backend) { names_.doubt(backend); }}),
      data_(data_plane_setup()),
      names_(io_, resolver_,
             [this](BackendId backend, const NameTracker& name) { on_move(backend, name); }),
      admin_(take_admin_port()),
      signals_(io_, SIGINT, SIGTERM, SIGHUP),
      ticker_(io_),
      drain_timer_(io_),
      listen_url_(url(data_.listen(*options.proxy.listen, may_have()))),
      started_(std::chrono::steady_clock::now()) {
  for (const BackendSite& site : sites_.all()) add_backend(site);
  signals_.add(SIGUSR1);
  signals_.add(SIGUSR2);
  if (topology_.plans.empty()) return;
  if (const std::string problem = open_logs(options_, topology_); !problem.empty()) {
    throw UnusableLogs(problem);
  }
  make_launcher(self);
}

App::~App() = default;

DataPlane::Setup App::data_plane_setup() {
  DataPlane::Setup setup;
  setup.settings = data_path_settings(options_, backend_count());
  setup.scheduler = scheduler_options(options_);
  setup.keys = keys_;
  setup.threads = static_cast<std::size_t>(*options_.proxy.io_threads);
  if (setup.threads == 0) setup.threads = std::max(1u, std::thread::hardware_concurrency());
  setup.report_failure = [this](BackendId backend, bool unreachable) {
    monitor_.report_failure(backend, unreachable);
  };
  setup.look_at = [this](BackendId backend, BackendMonitor::Tell tell) {
    monitor_.look_at(backend, std::move(tell));
  };
  setup.refresh_models = [this](BackendMonitor::Done done) {
    monitor_.refresh_models(std::move(done));
  };
  setup.on_stall = [this](const Stall& stall) {
    asio::post(io_, [this, stall] { tell_stall(stall); });
  };
  if (setup.scheduler.policy == FlushPolicy::kFixed) {
    setup.on_batch_done = [this](const BatchSummary& batch) {
      asio::post(io_, [this, batch] { on_batch_done(batch); });
    };
  }
  return setup;
}

// First of the two. When it is not to be had, whether the other is gets told along with it.
Acceptor App::take_admin_port() {
  try {
    return listen_on(io_, *options_.proxy.admin, "--admin", may_have());
  } catch (const std::runtime_error& error) {
    const std::string admin = error.what();
    try {
      data_.listen(*options_.proxy.listen, may_have());
    } catch (const std::runtime_error& other) {
      throw std::runtime_error(admin + "\nerror: " + other.what());
    }
    throw std::runtime_error(admin);
  }
}

MayHave App::may_have() {
  return [this](std::uint16_t port) { return topology_.ports.reserve(port); };
}

std::size_t App::backend_count() const {
  return static_cast<std::size_t>(std::ranges::count(sites_.all(), false, &Sites::Site::removed));
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
  // On a loopback address whoever asks is on this machine already.
  const bool guarded = !admin_.local_endpoint().address().is_loopback();
  AdminHooks hooks;
  hooks.snapshot = [this] { return snapshot(); };
  hooks.reload = [this] { return reload(); };
  // Asked again, it does not hasten: only a signal does.
  hooks.drain = [this] {
    if (state_ == State::kServing) shut_down(0);
  };
  const AdapterHooks adapters = adapter_hooks();
  hooks.adapters = [this, adapters](AdapterOrder order) {
    return carry_out(io_, adapters, std::move(order));
  };
  hooks.keys = [this, guarded] { return guarded ? keys_ : nullptr; };
  asio::co_spawn(io_.get_executor(), serve_admin(io_, admin_, std::move(hooks)), &end_on_error);
  wait_for_signal();
  refusals_told_.uptime = -kRefusalsPause;
  told_ = snapshot();  // what fails from here on is told
  names_.start();
  monitor_.start();
  data_.start();
  if (launcher_) launcher_->start();
  tick();
  io_.run();
  return exit_code_;
}

AdapterHooks App::adapter_hooks() {
  AdapterHooks hooks;
  hooks.sites = [this] { return adapter_sites(); };
  hooks.refresh_models = [this](BackendMonitor::Done done) {
    monitor_.refresh_models(std::move(done));
  };
  hooks.models = [this] { return models_; };
  return hooks;
}

std::vector<AdapterSite> App::adapter_sites() const {
  std::vector<AdapterSite> sites;
  for (const Sites::Site& site : sites_.all()) {
    if (site.removed) continue;
    const BackendId id = site.endpoint->id;
    sites.push_back({site.endpoint, monitor_.health(id) == Health::kReady, monitor_.problem(id)});
  }
  return sites;
}

Snapshot App::snapshot() const {
  Snapshot now;
  now.uptime = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  now.draining = state_ != State::kServing;
  now.flush = to_string(flush_policy(options_));
  now.models = models_->names();
  now.config_generation = generation_;
  now.last_reload_failed = last_reload_failed_;
  for (const Sites::Site& site : sites_.all()) {
    if (site.removed) continue;
    BackendSnapshot backend;
    backend.id = site.endpoint->id;
    backend.name = site.endpoint->name;
    backend.url = "http://" + site.endpoint->authority;
    backend.health = monitor_.health(backend.id);
    if (backend.health == Health::kUnready) backend.problem = monitor_.problem(backend.id);
    if (!engines_.empty() && engines_[backend.id] == EngineState::kStarting) {
      backend.health = Health::kUnknown;  // it does not answer yet, and nobody expects it to
    }
    backend.simulated = site.simulated || monitor_.simulated(backend.id);
    backend.gpus = site.gpus;
    now.backends.push_back(std::move(backend));
  }
  data_.collect(now);
  return now;
}

// --- what happens while serving -----------------------------------------------------------------

// What its name leads to has changed, or that it leads nowhere.
void App::on_move(BackendId backend, const NameTracker& name) {
  Endpoint next = *sites_[backend].endpoint;
  const bool moved = next.addresses != name.addresses();
  next.addresses = name.addresses();
  next.problem = name.problem();
  sites_.set_endpoint(std::make_shared<const Endpoint>(std::move(next)));
  if (moved) data_.set_endpoint(sites_[backend].endpoint);
  monitor_.set_endpoint(sites_[backend].endpoint);
  if (name.news().empty()) return;
  spdlog::info("engine {} {}", sites_[backend].endpoint->name, name.news());
}

void App::on_health(BackendId backend, Health health, const std::string& why) {
  names_.set_ready(backend, health == Health::kReady);
  // Looked at first: once it is up, the first of them leave at once.
  const std::uint64_t held = outage_ ? snapshot().queued : 0;
  data_.set_up(backend, health == Health::kReady);
  const Endpoint& endpoint = *sites_[backend].endpoint;
  // While an engine of ours loads, and once it has ended, the launcher tells about it.
  const bool ours = !engines_.empty();
  if (health == Health::kReady) {
    const bool again = been_ready_.contains(backend);
    if (announced_) spdlog::info("{} is ready{}", endpoint.name, again ? " again" : "");
    been_ready_.insert(backend);
  } else if (state_ == State::kServing && (!ours || engines_[backend] == EngineState::kUp)) {
    spdlog::warn("{} (http://{}) is not ready: {}. No requests are sent to it until it is",
                 endpoint.name, endpoint.authority, why);
  }
  if (!ours || engines_[backend] == EngineState::kUp) announce(true);
  tell_outage(held);
}

void App::tell_outage(std::uint64_t held) {
  if (!announced_ || state_ != State::kServing || outage_ != monitor_.any_ready()) return;
  outage_ = !outage_;
  if (outage_) {
    spdlog::error("no backend is ready; requests wait for one for up to {:g} s (hold_timeout)",
                  options_.proxy.hold_timeout->count());
  } else {
    spdlog::info("a backend is ready again; {} requests have waited for it", held);
  }
}

void App::tell_stall(const Stall& stall) {
  const Endpoint& endpoint = *sites_[stall.backend].endpoint;
  if (!stall.stuck) {
    spdlog::info("{} moves again", endpoint.name);
  } else if (!stall.again) {
    spdlog::warn(
        "{} (http://{}) stands still: {} prompts without a byte of an answer for {:.1f} s. They "
        "are "
        "asked elsewhere if anybody else serves them; it gets one request now and then until it "
        "moves (stuck_timeout)",
        endpoint.name, endpoint.authority, stall.inflight,
        std::chrono::duration<double>(stall.quiet).count());
  }
}

// Once a second, so that a backend that dies with a hundred requests gets one line.
void App::tell_failures(const Snapshot& now) {
  for (const BackendSnapshot& backend : now.backends) {
    const auto before = std::ranges::find_if(told_.backends, [&](const BackendSnapshot& other) {
      return other.id == backend.id && other.name == backend.name;
    });
    // The counts of one that is new are those of the one whose id it has.
    const BackendSnapshot& last = before == told_.backends.end() ? backend : *before;
    std::string reasons;
    for (std::size_t i = 0; i < kCallFailures; ++i) {
      const std::uint64_t failed = backend.failed_attempts[i] - last.failed_attempts[i];
      if (failed == 0) continue;
      reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", failed,
                             to_string(static_cast<CallFailure>(i)));
    }
    if (!reasons.empty()) {
      spdlog::warn("{}: calls failed: {}; what can be is sent again", backend.name, reasons);
    }
    // That one stands still, or is down, is told when it is seen.
    const bool told_already = backend.stuck || backend.health != Health::kReady;
    if (backend.breaker_open && !last.breaker_open && !told_already) {
      spdlog::warn(
          "{}: its calls keep failing: it gets one request now and then until one is "
          "answered",
          backend.name);
    } else if (!backend.breaker_open && last.breaker_open) {
      spdlog::info("{}: its calls are answered again", backend.name);
    }
  }
  if (now.poisoned > told_.poisoned) {
    spdlog::error("{} requests brought down three engines each and are not sent again",
                  now.poisoned - told_.poisoned);
  }
  told_ = now;
  tell_refusals(now);
}

// Requests that no engine was asked about. A worker with a wrong key or model name sees its errors,
// but whoever looks here wants to know, too, and that there is more to do than can be done.
void App::tell_refusals(const Snapshot& now) {
  if (now.uptime < refusals_told_.uptime + kRefusalsPause) return;
  std::string refusals;
  for (std::size_t i = 0; i < kAllErrors.size(); ++i) {
    const std::uint64_t count = now.errors[i] - refusals_told_.errors[i];
    if (count == 0 || describe(kAllErrors[i]).asked) continue;
    const std::string_view code = describe(kAllErrors[i]).code;
    refusals += fmt::format("{}{} {}", refusals.empty() ? "" : ", ", count, code);
  }
  if (refusals.empty()) return;
  spdlog::warn("requests refused: {}", refusals);
  refusals_told_ = now;
}

// Says how to use the backends that are up, `complete` or not, once.
void App::announce(bool complete_only) {
  const Snapshot now = snapshot();
  const auto ready = std::count_if(now.backends.begin(), now.backends.end(),
                                   [](const auto& b) { return b.health == Health::kReady; });
  const auto lost = std::ranges::count_if(engines_, &App::is_lost);
  const bool complete = static_cast<std::size_t>(ready + lost) == now.backends.size() && ready > 0;
  if (announced_ || ready == 0 || (complete_only && !complete)) return;
  announced_ = true;
  console_.how_to_use(now, listen_url_);
}

void App::tell_of_key(BackendId backend, bool keyed) {
  const std::string& name = sites_[backend].endpoint->name;
  const bool was_keyed = keyed_.contains(backend);
  if (!keyed) {
    keyed_.erase(backend);
    if (was_keyed) spdlog::info("{} tells what it serves: it asks for no other key", name);
    return;
  }
  keyed_.insert(backend);
  if (keys_) {
    spdlog::warn(
        "{} asks for an API key, and will refuse every request: clients' keys are not passed on. "
        "Write its own as backends[].api_key",
        name);
    return;
  }
  spdlog::warn(
      "{} asks for an API key. It gets each client's own, and the models that nobody lists, unless "
      "its own are configured; to send one key for all, write it as backends[].api_key",
      name);
}

void App::on_batch_done(const BatchSummary& batch) {
  console_.batch_done(batch, sites_[batch.backend].endpoint->name);
}

void App::tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](const ErrorCode& error) {
    if (error) return;
    const Snapshot now = snapshot();
    console_.tick(now);
    tell_failures(now);
    // One that stays away must not keep the others' readiness from being told.
    if (std::chrono::steady_clock::now() - started_ > kAnnounceAnyway) announce(false);
    tick();
  });
}

// --- the end ------------------------------------------------------------------------------------

void App::wait_for_signal() {
  signals_.async_wait([this](const ErrorCode& error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      reload();
    } else if (number == SIGUSR1 || number == SIGUSR2) {
      spdlog::info("{} changes nothing here; SIGTERM drains and stops, SIGHUP reloads",
                   number == SIGUSR1 ? "SIGUSR1" : "SIGUSR2");
    } else {
      shut_down(0);
    }
    wait_for_signal();
  });
}

// Everything is looked at before anything is changed: an unusable file changes nothing.
ReloadReport App::reload() {
  ReloadReport report;
  const LoadResult loaded = load_again_();
  const auto tell = [&report](const std::vector<Diagnostic>& diagnostics) {
    for (const Diagnostic& one : diagnostics) {
      report.lines.push_back(one.format());
      spdlog::log(level_of(one.severity), "reload: {}", one.format());
    }
  };
  tell(loaded.diagnostics);
  std::vector<std::string> plan_lines;
  if (loaded.ok()) {
    ReloadPlan plan = plan_reload(options_, loaded.options);
    const LoadedApiKeys keys = load_api_keys(plan.options, keys_.get());
    tell(keys.diagnostics);
    try {
      report.ok = keys.ok();
      if (report.ok) replace_backends(plan);
    } catch (const std::runtime_error& error) {
      report.ok = false;
      report.lines.push_back(std::string("error: ") + error.what());
      spdlog::error("reload: {}", error.what());
    }
    if (report.ok) {
      std::ranges::move(changes_between(keys_.get(), keys.keys.get()),
                        std::back_inserter(plan.lines));
      keys_ = keys.keys;
      data_.set_keys(keys_);
      options_ = std::move(plan.options);
      plan_lines = std::move(plan.lines);
    }
  }
  last_reload_failed_ = !report.ok;
  if (!report.ok) {
    spdlog::error("the configuration was not reloaded; the one in force stays");
    return report;
  }
  if (plan_lines.empty()) plan_lines.push_back("nothing has changed");
  report.lines.insert(report.lines.end(), plan_lines.begin(), plan_lines.end());
  data_.set_settings(data_path_settings(options_, backend_count()), scheduler_options(options_));
  monitor_.set_intervals({to_duration(*options_.proxy.health_interval),
                          to_duration(*options_.proxy.metrics_interval),
                          to_duration(*options_.proxy.health_timeout)});
  monitor_.look_again();
  names_.look_again();
  set_log_level(*options_.proxy.log_level);
  ++generation_;
  for (const std::string& line : plan_lines) spdlog::info("reload: {}", line);
  return report;
}

void App::add_backend(const BackendSite& site) {
  data_.add_backend(site);
  monitor_.add(site.endpoint, {site.models, /*always=*/!topology_.plans.empty()});
  const auto at = parse_host_port(site.endpoint->authority);
  if (at && !is_address(at->host)) names_.add(site.endpoint->id, *at);
}

// Adds and removes the servers that somebody else has started. Throws std::runtime_error, with
// nothing done.
void App::replace_backends(ReloadPlan& plan) {
  if (launcher_) return;
  std::vector<std::string>& lines = plan.lines;
  const auto in_use = [this](BackendId id) { return data_.inflight(id) > 0; };
  const auto changes = sites_.replace(running_servers(plan.options), in_use);
  if (!changes) {
    throw std::runtime_error(fmt::format(
        "more than {} backends, counting those that still finish what they had", BackendSet::kMax));
  }
  // The new ones first: with none left that may yet say what it serves, every request would be
  // refused as one for an unknown model.
  for (const BackendId id : changes->added) {
    lines.push_back(sites_[id].endpoint->name + " is new");
    been_ready_.erase(id);
    keyed_.erase(id);
    add_backend(sites_[id]);
  }
  for (const BackendId id : changes->removed) {
    lines.push_back(sites_[id].endpoint->name + " gets no more requests");
    data_.set_up(id, false);
    monitor_.remove(id);
    names_.remove(id);
  }
  for (const BackendId id : changes->rekeyed) {
    data_.set_endpoint(sites_[id].endpoint);
    monitor_.set_endpoint(sites_[id].endpoint);
  }
  for (const BackendId id : changes->retold) {
    monitor_.set_endpoint(sites_[id].endpoint);
    monitor_.set_models(id, sites_[id].models);
  }
  for (const BackendId id : changes->changed) data_.resize_backend(id, sites_[id].max_num_seqs);
}

// The first call drains; the second ends with an error what is not done yet, the third cuts it off.
void App::shut_down(int exit_code) {
  switch (state_) {
    case State::kServing: {
      state_ = State::kDraining;
      exit_code_ = exit_code;
      const Snapshot now = snapshot();
      const auto open = now.queued + now.inflight;
      console_.line(
          open == 0 ? std::string("stopping")
                    : fmt::format("stopping: {} requests under way get up to {:g} s to "
                                  "finish; a second signal (Ctrl-C again) ends them with an error",
                                  open, options_.proxy.drain_timeout->count()));
      data_.drain();
      drain_until_ = std::chrono::steady_clock::now() + to_duration(*options_.proxy.drain_timeout);
      await_clients();
      break;
    }
    case State::kDraining:
      drain_until_ = std::chrono::steady_clock::now();
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

void App::await_clients() {
  if (data_.drained()) return stop_engines();
  const TimePoint now = std::chrono::steady_clock::now();
  if (now >= drain_until_) {
    if (std::exchange(cut_short_, true)) {
      data_.close_all();
    } else {
      data_.cut_short();
      drain_until_ = now + kLastWords;
    }
  }
  drain_timer_.expires_after(kDrainLook);
  drain_timer_.async_wait([this](const ErrorCode& error) {
    if (!error) await_clients();
  });
}

void App::stop_engines() {
  state_ = State::kStopping;
  monitor_.stop();
  names_.stop();
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
  engine_lost(index, EngineState::kFailed);
}

void App::on_exited(int index, const std::string& description) {
  spdlog::error("engine-{} has ended: {}. Its log is {}", index, description,
                topology_.plans[static_cast<std::size_t>(index)].log_file);
  engine_lost(index, EngineState::kEnded);
}

// Engines that never came up are a mistake to be mended: we stop and say so. Engines that did, and
// ended, are an outage: whoever calls keeps a port to call, and is told to try again.
void App::engine_lost(int index, EngineState how) {
  engines_[static_cast<std::size_t>(index)] = how;
  monitor_.retire(static_cast<BackendId>(index));
  announce(true);
  if (state_ != State::kServing || !std::ranges::all_of(engines_, &App::is_lost)) return;
  if (std::ranges::find(engines_, EngineState::kEnded) == engines_.end()) {
    spdlog::error("no engine has started; stopping");
    return shut_down(kNoEngineStarted);
  }
  spdlog::error(
      "no engine is left, and none is started again: restart batchproxy. Until then a request "
      "waits up to {:g} s (hold_timeout) and is then told to try again (503 no_backend)",
      options_.proxy.hold_timeout->count());
}

}  // namespace batchproxy
