// proxy/app.cc - the wiring, the look once a second, and the end in its stages.
#include "proxy/app.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "backends/net/waiter.h"
#include "configs/describe.h"
#include "configs/engine_wish.h"
#include "launcher/memory/learned/state_file.h"
#include "proxy/control/settings.h"
#include "proxy/files/free_space.h"
#include "proxy/jobs/record_store.h"

namespace batchproxy {

namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr Duration kDrainLook = std::chrono::milliseconds(20);
constexpr Duration kLastWords = std::chrono::seconds(2);  // for the errors of a shutdown
// Requests of batches at once: so many that some always wait for the engines' room.
constexpr std::size_t kFewestOfBatches = 64;
constexpr std::size_t kMostOfBatches = 1024;
constexpr int kNoEngineStarted = 4;  // exit code
// One carries what eight GPUs can answer a hundred times over; with many, few of them are awake,
// and each request wakes some (docs/PERFORMANCE.md).
constexpr unsigned kMostThreadsByDefault = 4;

std::string url(const asio::ip::tcp::endpoint& endpoint, bool secured = false) {
  const auto address = endpoint.address();
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return fmt::format("{}://{}:{}", secured ? "https" : "http", host, endpoint.port());
}

// Where we reach ourselves.
std::string reachable(const asio::ip::address& address) {
  if (!address.is_unspecified()) return address.to_string();
  return address.is_v6() ? "::1" : "127.0.0.1";
}

TlsContextPtr tls_or_throw(const Options& options) {
  auto context = tls_context(options);
  if (!context) throw std::runtime_error(context.error());
  return *context;
}

ExportSettings export_or_throw(const Options& options) {
  auto settings = export_settings(options);
  if (!settings) throw std::runtime_error(settings.error());
  return *std::move(settings);
}

BackendSnapshot describe(const BackendRecord& backend) {
  BackendSnapshot shown;
  shown.id = backend.id();
  shown.name = backend.name();
  shown.url = backend.endpoint->url();
  shown.state = backend.state;
  const bool is_wrong =
      backend.state == BackendState::kUnready || backend.state == BackendState::kFailed;
  if (is_wrong) shown.problem = backend.why;
  shown.simulated = backend.simulated;
  shown.launched = backend.origin == BackendOrigin::kLaunched;
  shown.gpus = backend.gpus;
  shown.node = backend.node;
  return shown;
}

std::uint64_t seconds_since_epoch(WallTime when) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(when.time_since_epoch()).count();
  return seconds > 0 ? static_cast<std::uint64_t>(seconds) : 0;
}

template <class Number>
std::uint64_t told(const std::optional<Number>& figure) {
  return figure ? *figure : GpuMetrics::kUntold;
}

void add_gpus(Snapshot& now, const std::vector<GpuReading>& readings) {
  for (const GpuReading& reading : readings) {
    GpuSnapshot& gpu = now.gpus.emplace_back();
    gpu.index = std::to_string(reading.index);
    gpu.name = reading.name;
    gpu.memory_total = reading.memory.total;
    gpu.memory_used = reading.memory.used;
    gpu.utilization = told(reading.utilisation);
    gpu.temperature = told(reading.temperature);
    gpu.nvlink_sent = told(reading.nvlink_sent);
    gpu.nvlink_received = told(reading.nvlink_received);
  }
}

// Simulated engines take GPUs in name only.
bool starts_on_gpus(const Options& options, const BackendControl& backends) {
  if (!backends.starts_engines() || runs_elsewhere(options)) return false;
  return *options.proxy.launcher.engine != "sim" || names_gpus(options);
}

BackendSet only(BackendId backend) {
  BackendSet set;
  set.insert(backend);
  return set;
}

void add_figures(BackendSnapshot& shown, const EngineFigures& figures) {
  shown.engine_running = static_cast<std::uint64_t>(figures.running);
  shown.engine_waiting = static_cast<std::uint64_t>(figures.waiting);
  shown.kv_use = figures.kv_use;
  shown.prompt_tokens = figures.prompt_tokens;
  shown.generation_tokens = figures.generation_tokens;
  shown.prefix_queries = figures.prefix_queries;
  shown.prefix_hits = figures.prefix_hits;
}

void add_notes(BackendSnapshot& shown, const BackendNotes& notes, const EngineCondition& condition,
               TimePoint now) {
  const auto seconds_since = [now](TimePoint then) {
    return std::chrono::duration<double>(now - then).count();
  };
  shown.in_state = notes.since == TimePoint() ? 0 : seconds_since(notes.since);
  shown.doing = condition.waits_for.empty() ? notes.doing : condition.waits_for;
  shown.silence = condition.silence;
  if (notes.problem) {
    shown.last_problem = LastProblem{notes.problem->text, seconds_since(notes.problem->at)};
  }
  shown.tells_figures = notes.tells;
  add_figures(shown, notes.figures);
}

}  // namespace

App::App(const Options& options, Topology topology, ApiKeysPtr keys, const std::string& self,
         LoadAgain load_again)
    : options_(options),
      holdings_(std::move(topology.holdings)),
      tls_(tls_or_throw(options)),
      feed_(feed_sources()),
      console_(options_),
      reloader_(options_, keys, reloader_hooks(std::move(load_again))),
      backends_(io_, options_, std::move(topology.backends), console_, narrator_, backend_hooks()),
      batches_(batch_setup()),
      data_(data_plane_setup(keys)),
      admin_(take_admin_port()),
      signals_(io_, SIGINT, SIGTERM, SIGHUP),
      ticker_(io_),
      drain_timer_(io_),
      listening_(data_.listen(*options.proxy.listen, may_have())),
      listen_url_(url(listening_, tls_ != nullptr)),
      started_(std::chrono::steady_clock::now()),
      service_(process_environment()) {
  signals_.add(SIGUSR1);
  signals_.add(SIGUSR2);
  if (topology.plans.empty()) return;
  const std::string problem = open_logs(options_, topology.plans, holdings_);
  if (!problem.empty()) throw UnusableLogs(problem);
  backends_.plan_engines(std::move(topology.plans), std::move(topology.spare_gpus),
                         std::move(topology.kept), self);
}

BackendControl::Hooks App::backend_hooks() {
  BackendControl::Hooks hooks;
  hooks.publish = [this](const RosterPtr& roster) { data_.publish(roster); };
  hooks.observe = [this](BackendId backend, const std::optional<EngineSample>& sample) {
    data_.observe(backend, sample);
  };
  hooks.answered = [this](BackendId backend) { return data_.answered(backend); };
  hooks.in_use = [this](BackendId backend) { return data_.inflight(backend) > 0; };
  hooks.snapshot = [this] { return snapshot(); };
  hooks.have_keys = [this] { return reloader_.keys() != nullptr; };
  hooks.announce = [this] { announce_if_due(snapshot()); };
  hooks.none_started = [this] { shut_down(kNoEngineStarted); };
  return hooks;
}

DataPlane::Setup App::data_plane_setup(const ApiKeysPtr& keys) {
  DataPlane::Setup setup;
  setup.settings = data_path_settings(options_, backends_.roster()->present().size());
  setup.scheduler = scheduler_options(options_);
  setup.keys = keys;
  setup.threads = static_cast<std::size_t>(*options_.proxy.io_threads);
  if (setup.threads == 0) {
    setup.threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreadsByDefault);
  }
  setup.report_failure = [this](BackendId backend, bool unreachable) {
    backends_.report_failure(backend, unreachable);
  };
  setup.look_at = [this](BackendId backend, BackendMonitor::Tell tell) {
    backends_.look_at(backend, std::move(tell));
  };
  setup.refresh_models = [this](BackendMonitor::Done done) {
    backends_.refresh_models(std::move(done));
  };
  setup.tls = tls_;
  setup.internal = &internal_;
  setup.hand_over = [this](HandedOver over) { batches_.take(std::move(over)); };
  if (const std::string folder = jobs_directory(); !folder.empty()) {
    setup.records = RecordStore::path_in(folder);
  }
  setup.access_log = access_log_settings(options_);
  setup.beside = console_.beside();
  setup.spans = export_or_throw(options_);
  setup.on_stall = [this](const Stall& stall) {
    asio::post(io_, [this, stall] { backends_.on_stall(stall); });
  };
  // Each batch costs a word to this thread: who begins with another policy is not told of them.
  if (setup.scheduler.policy == FlushPolicy::kFixed) {
    setup.on_batch_done = [this](const BatchSummary& batch) {
      asio::post(io_, [this, batch] { tell_batch(batch); });
    };
  }
  return setup;
}

std::string App::jobs_directory() const {
  const std::string& told = *options_.proxy.jobs.directory;
  return told.empty() ? state_file("jobs") : told;
}

BatchService::Setup App::batch_setup() const {
  BatchService::Setup setup;
  const JobsOptions& jobs = options_.proxy.jobs;
  setup.directory = jobs_directory();
  setup.max_bytes = *jobs.max_bytes;
  setup.stall = to_duration(*options_.proxy.stall_timeout);
  setup.mark = &internal_;
  std::size_t slots = 0;
  for (const BackendPtr& backend : backends_.roster()->present()) {
    slots += backend->traits.max_num_seqs;
  }
  setup.in_flight = std::clamp<std::size_t>(slots + slots / 4, kFewestOfBatches, kMostOfBatches);
  return setup;
}

Reloader::Hooks App::reloader_hooks(LoadAgain load_again) {
  Reloader::Hooks hooks;
  hooks.load = std::move(load_again);
  hooks.replace_backends = [this](const Options& options) { return backends_.replace(options); };
  hooks.read_files = [this](const Options& options) { return read_files(options); };
  hooks.apply = [this](const ApiKeysPtr& keys) {
    take_tls(std::move(tls_read_));
    data_.set_keys(keys);
    data_.set_settings(data_path_settings(options_, backends_.roster()->present().size()),
                       scheduler_options(options_));
    data_.set_tls(tls_);
    data_.set_access_log(access_log_settings(options_));
    data_.set_spans(std::move(spans_read_));
    backends_.look_again();
  };
  return hooks;
}

// Nothing is another until all of the reload is taken: see reloader_hooks().
std::string App::read_files(const Options& options) {
  auto context = tls_context(options);
  if (!context) return context.error();
  if (tls_ && *context) {
    const std::string why = why_not_replaced(certificate_, own_certificate(**context),
                                             std::chrono::system_clock::now());
    if (!why.empty()) {
      return fmt::format("the certificate in {} {}; the one in use is kept",
                         *options.proxy.tls.certificate, why);
    }
  }
  auto spans = export_settings(options);
  if (!spans) return spans.error();
  tls_read_ = *std::move(context);
  spans_read_ = *std::move(spans);
  return {};
}

// For those who connect from now on.
void App::take_tls(TlsContextPtr tls) {
  tls_ = std::move(tls);
  certificate_ = tls_ ? own_certificate(*tls_) : CertificateFacts{};
  watch_certificate();
}

void App::watch_certificate() {
  if (!tls_) return;
  const std::string problem = expiry_.look(certificate_, std::chrono::system_clock::now());
  if (problem.empty()) return;
  spdlog::warn("the certificate in {} {}; a reload (SIGHUP) takes the new one",
               *options_.proxy.tls.certificate, problem);
}

AdminHooks App::admin_hooks() {
  AdminHooks hooks;
  hooks.snapshot = [this] { return snapshot(); };
  hooks.reload = [this](const std::vector<Flag>& trial) { return reloader_.reload(trial); };
  // Asked again, it does not hasten: only a signal does.
  hooks.drain = [this] {
    if (ending_.stage == Ending::Stage::kServing) shut_down(0);
  };
  hooks.order_engine = [this](const EngineOrder& order) { return backends_.order(order); };
  hooks.search = [this](RecordSearch wanted) { return search(std::move(wanted)); };
  const AdapterHooks adapters = adapter_hooks();
  hooks.adapters = [this, adapters](AdapterOrder order) {
    return carry_out(io_, adapters, std::move(order));
  };
  hooks.config = [this] { return effective_json(options_); };
  hooks.feed = &feed_;
  // On a loopback address whoever asks is on this machine already.
  const bool guarded = !admin_.local_endpoint().address().is_loopback();
  hooks.tls = [this, guarded] { return guarded ? tls_ : nullptr; };
  hooks.keys = [this, guarded] { return guarded ? reloader_.keys() : nullptr; };
  hooks.loopback = !guarded;
  return hooks;
}

StatusFeed::Sources App::feed_sources() {
  StatusFeed::Sources sources;
  sources.status = [this] { return to_json(snapshot()); };
  sources.history = [this] { return history_.to_json(); };
  sources.search_requests = [this] {
    const auto tell = [this](const std::exception_ptr& error, std::string found) {
      if (error) std::rethrow_exception(error);
      feed_.tell_requests(std::move(found));
    };
    const auto look = [this](RecordSearch wanted) { return search(std::move(wanted)); };
    asio::co_spawn(io_.get_executor(), requests_for_page(look), tell);
  };
  return sources;
}

AdapterHooks App::adapter_hooks() {
  AdapterHooks hooks;
  hooks.roster = [this] { return backends_.roster(); };
  hooks.refresh_models = [this](BackendMonitor::Done done) {
    backends_.refresh_models(std::move(done));
  };
  hooks.forget_model = [this](BackendId backend, std::string_view model) {
    backends_.forget_model(backend, model);
  };
  return hooks;
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
  return [this](std::uint16_t port) { return holdings_.ports.reserve(port); };
}

int App::run() {
  const bool admin_secured = tls_ && !admin_.local_endpoint().address().is_loopback();
  const std::string admin_url = url(admin_.local_endpoint(), admin_secured);
  console_.banner(*backends_.roster(), backends_.log_directory(), listen_url_, admin_url);
  asio::co_spawn(io_.get_executor(), serve_admin(io_, admin_, admin_hooks()), &end_on_error);
  wait_for_signal();
  take_tls(tls_);
  if (starts_on_gpus(options_, backends_)) gpus_ = std::make_unique<GpuWatch>();
  state_free_ = free_bytes_at(jobs_directory());
  const Snapshot first = snapshot();
  narrator_.begin(first);
  trends_.add(first);
  backends_.start();
  if (tls_) {
    const auto plain = data_.listen_plainly(may_have());
    batches_.start(reachable(plain.address()), plain.port());
  } else {
    batches_.start(reachable(listening_.address()), listening_.port());
  }
  data_.start();
  service_.ready();
  tick();
  io_.run();
  return ending_.exit_code;
}

Snapshot App::snapshot() const {
  const TimePoint time = std::chrono::steady_clock::now();
  Snapshot now;
  now.uptime = std::chrono::duration<double>(time - started_).count();
  now.draining = ending_.stage != Ending::Stage::kServing;
  now.flush = to_string(flush_policy(options_));
  const RosterPtr roster = backends_.roster();
  now.models = roster->models()->names();
  now.config_generation = reloader_.generation();
  now.last_reload_success = reloader_.last_failed() ? 0 : 1;
  for (const BackendPtr& backend : roster->present()) {
    now.backends.push_back(describe(*backend));
  }
  data_.collect(now, time);
  for (BackendSnapshot& backend : now.backends) {
    backend.restarts = static_cast<std::uint64_t>(backends_.restarts(backend.id));
    backend.repairs = backends_.repairs(backend.id);
    backend.repaired = backend.repairs.size();
    backend.models = roster->models()->names(only(backend.id));
    add_notes(backend, backends_.notes(backend.id), backends_.condition(backend.id), time);
  }
  if (gpus_) add_gpus(now, gpus_->latest());
  now.jobs = batches_.jobs();
  now.jobs_unfinished = now.jobs.size();
  now.state_free = state_free_;
  now.certificate_expires = tls_ ? seconds_since_epoch(certificate_.ends) : 0;
  now.up_for = now.uptime;
  now.ui_streams = feed_.streams();
  now.ui_pictures = feed_.pictures();
  trends_.fill(now);
  judge(now);
  return now;
}

Task<DataPlane::Found> App::search(RecordSearch search) {
  struct Seat {
    Waiter waiter;
    DataPlane::Found found;
  };
  const auto seat = std::make_shared<Seat>();
  const auto tell = [this, seat](DataPlane::Found found) {
    asio::post(io_, [seat, found = std::move(found)]() mutable {
      seat->found = std::move(found);
      seat->waiter.wake();
    });
  };
  data_.search(search, tell);
  co_await seat->waiter.wait();
  co_return std::move(seat->found);
}

// --- while serving ------------------------------------------------------------------------------

void App::tell_batch(const BatchSummary& batch) {
  if (flush_policy(options_) != FlushPolicy::kFixed) return;  // any more
  console_.batch_done(batch, backends_[batch.backend].name());
}

void App::announce_if_due(const Snapshot& now) {
  if (narrator_.announces(now)) console_.how_to_use(now, listen_url_);
}

void App::tick() {
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](const ErrorCode& error) {
    if (error) return;
    const Snapshot now = snapshot();
    trends_.add(now);
    history_.add(now);
    feed_.tick();
    batches_.look_at_jobs();
    data_.look_at_jobs();
    state_free_ = free_bytes_at(jobs_directory());
    watch_certificate();
    console_.tick(now);
    log(narrator_.on_tick(now, std::chrono::steady_clock::now()));
    backends_.check_liveness(std::chrono::steady_clock::now());
    announce_if_due(now);
    service_.tick(std::chrono::steady_clock::now(), status_line(now));
    tick();
  });
}

void App::wait_for_signal() {
  signals_.async_wait([this](const ErrorCode& error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      reloader_.reload();
    } else if (number == SIGUSR1 || number == SIGUSR2) {
      spdlog::info("{} is ignored; SIGTERM drains and stops, SIGHUP reloads",
                   number == SIGUSR1 ? "SIGUSR1" : "SIGUSR2");
    } else {
      shut_down(0);
    }
    wait_for_signal();
  });
}

// --- the end ------------------------------------------------------------------------------------

// The first call drains; the second ends with an error what is not done yet, the third cuts it off.
void App::shut_down(int exit_code) {
  switch (ending_.stage) {
    case Ending::Stage::kServing:
      ending_.exit_code = exit_code;
      drain();
      break;
    case Ending::Stage::kDraining:
      ending_.drain_until = std::chrono::steady_clock::now();
      break;
    case Ending::Stage::kStopping:
      // A process that the kernel will not let go of must not keep us: a third signal ends the
      // wait.
      if (ending_.killed) {
        spdlog::error("gave up waiting for {} to end; look for them with `ps`, on their nodes",
                      fmt::join(backends_.not_ended(), ", "));
        ending_.exit_code = 1;
        io_.stop();
        break;
      }
      ending_.killed = true;
      backends_.kill_now();
      break;
  }
}

void App::drain() {
  ending_.stage = Ending::Stage::kDraining;
  log(narrator_.stop_serving(std::chrono::steady_clock::now()));
  service_.stopping();
  const Snapshot now = snapshot();
  const auto open = now.queued + now.inflight;
  console_.line(open == 0
                    ? std::string("stopping")
                    : fmt::format("stopping: {} requests under way get up to {:g} s to finish; a "
                                  "second signal (Ctrl-C again) ends them with an error",
                                  open, options_.proxy.drain_timeout->count()));
  data_.drain();
  batches_.drain();
  ending_.drain_until =
      std::chrono::steady_clock::now() + to_duration(*options_.proxy.drain_timeout);
  await_clients();
}

void App::await_clients() {
  if (data_.drained() && batches_.drained()) return stop_engines();
  const TimePoint now = std::chrono::steady_clock::now();
  if (now >= ending_.drain_until) {
    if (std::exchange(ending_.cut_short, true)) {
      data_.close_all();
      batches_.close_all();
    } else {
      data_.cut_short();
      ending_.drain_until = now + kLastWords;
    }
  }
  drain_timer_.expires_after(kDrainLook);
  drain_timer_.async_wait([this](const ErrorCode& error) {
    if (!error) await_clients();
  });
}

void App::stop_engines() {
  ending_.stage = Ending::Stage::kStopping;
  if (backends_.starts_engines()) {
    console_.line(*options_.proxy.launcher.keep
                      ? "the engines go on (launcher.keep); `batchproxy stop` ends them"
                      : "stopping the engines");
  }
  backends_.stop([this] { tell_end(); });
}

void App::tell_end() {
  log(narrator_.stop_serving(std::chrono::steady_clock::now()));
  const Snapshot end = snapshot();
  const auto count = [&end](Finish finish) {
    return end.finished[static_cast<std::size_t>(finish)];
  };
  const std::uint64_t good = count(Finish::kOk), left = count(Finish::kClientGone);
  console_.line(fmt::format(
      "stopped: {} requests received, {} answered with success, {} with an error; {} clients "
      "left or were cut off",
      end.received.get(), good, end.finished_total() - good - left, left));
  io_.stop();
}

}  // namespace batchproxy
