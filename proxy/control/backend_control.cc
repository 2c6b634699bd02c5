// proxy/control/backend_control.cc - one handler for each thing that is seen of a backend.
#include "proxy/control/backend_control.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "configs/engine_wish.h"
#include "configs/schema/host_port.h"
#include "launcher/base/machine.h"
#include "launcher/gpus/free_memory.h"
#include "launcher/gpus/inventory_reader.h"
#include "launcher/memory/plan_gpu.h"
#include "launcher/plan/command_line.h"
#include "proxy/control/settings.h"
#include "proxy/control/topology.h"

namespace batchproxy {

namespace {

constexpr auto kLookInterval = std::chrono::milliseconds(50);
constexpr Duration kTellAgain = std::chrono::minutes(1);

BackendMonitor::Intervals intervals(const Options& options) {
  return {to_duration(*options.proxy.health_interval), to_duration(*options.proxy.metrics_interval),
          to_duration(*options.proxy.health_timeout)};
}

// Nothing while another batchproxy has it.
SpareGpus::Claim claim_of(const Gpu& gpu) {
  auto lease = Lease::take(lease_name(gpu));
  return lease ? std::make_shared<Lease>(*std::move(lease)) : nullptr;
}

// What the driver tells of them now; none where it cannot be asked.
PlanGpus memory_of(const Gpus& gpus) {
  if (gpus.empty()) return {};
  const auto inventory = read_inventory([](unsigned) { return std::string(); });
  return inventory ? plan_gpus(*inventory, gpus) : PlanGpus();
}

}  // namespace

BackendControl::BackendControl(asio::io_context& io, const Options& options,
                               std::vector<BackendRecord> backends, Console& console,
                               Narrator& narrator, Hooks hooks)
    : options_(options),
      console_(console),
      narrator_(narrator),
      hooks_(std::move(hooks)),
      registry_(std::move(backends)),
      monitor_(io, intervals(options), monitor_events()),
      resolver_(io),
      names_(io, resolver_,
             [this](BackendId backend, const NameTracker& name) { on_move(backend, name); }),
      io_(io),
      orders_(io, order_hooks()) {
  registry_.watch(hooks_.publish);
}

EngineOrders::Hooks BackendControl::order_hooks() {
  EngineOrders::Hooks hooks;
  hooks.roster = [this] { return roster(); };
  hooks.in_use = hooks_.in_use;
  hooks.is_well = [this](BackendId engine) { return monitor_.health(engine) == Health::kReady; };
  hooks.drain_timeout = [this] { return to_duration(*options_.proxy.drain_timeout); };
  hooks.step = [this](BackendId engine, BackendEvent event) {
    step(engine, event, std::string(to_string(event)));
    // What has passed its probe all the time is not told of again.
    const bool resumed = event == BackendEvent::kResumeAsked;
    if (resumed && monitor_.health(engine) == Health::kReady) {
      step(engine, BackendEvent::kProbePassed);
    }
  };
  hooks.start_again = [this](BackendId engine) { launcher_->restart_engine(engine); };
  hooks.stop = [this](BackendId engine) { launcher_->stop_engine(engine); };
  return hooks;
}

BackendMonitor::Events BackendControl::monitor_events() {
  BackendMonitor::Events events;
  events.on_event = [this](BackendId backend, BackendEvent event, const std::string& why) {
    on_event(backend, event, why);
  };
  events.on_problem = [this](BackendId backend, const std::string& why) {
    on_problem(backend, why);
  };
  events.on_models = [this](BackendId backend, ModelList served) {
    registry_.set_served(backend, std::move(served));
  };
  events.configured = [this](BackendId id) {
    const BackendRecord& backend = registry_[id];
    return ConfiguredModels{.any = !backend.models.empty(),
                            .always = backend.origin == BackendOrigin::kLaunched};
  };
  events.on_abilities = [this](BackendId backend, const Abilities& abilities) {
    on_abilities(backend, abilities);
  };
  events.on_metrics = [this](BackendId backend, const std::optional<EngineMetrics>& metrics) {
    on_metrics(backend, metrics);
  };
  events.on_simulated = [this](BackendId backend, bool simulated) {
    // Of our own engines the configuration says it.
    if (registry_[backend].origin == BackendOrigin::kLaunched) return;
    registry_.set_simulated(backend, simulated);
  };
  events.answered = [this](BackendId backend) { return hooks_.answered(backend); };
  events.on_doubt = [this](BackendId backend) { names_.doubt(backend); };
  return events;
}

void BackendControl::plan_engines(std::vector<EnginePlan> plans, Gpus spare,
                                  std::vector<KeptEngine> kept, const std::string& self) {
  LauncherHooks hooks;
  hooks.events = this;
  hooks.self_executable = self;
  hooks.inherited = process_environment();
  hooks.state = [this](BackendId engine) { return registry_[engine].state; };
  hooks.answers = [this](BackendId engine) { return monitor_.health(engine) == Health::kReady; };
  hooks.look_interval = kLookInterval;
  Gpus gpus;
  for (const EnginePlan& plan : plans) gpus.insert(gpus.end(), plan.gpus.begin(), plan.gpus.end());
  // Simulated ones take GPUs in name only. Who names those wants to see the gate in front of them.
  const bool is_simulated = *options_.proxy.launcher.engine == "sim";
  const bool has_gate = !gpus.empty() && (!is_simulated || names_gpus(options_));
  if (is_simulated) gpus.clear();
  SpareGpus to_spare{.gpus = std::move(spare)};
  if (!gpus.empty()) to_spare.look = &memory_of;
  to_spare.claim = &claim_of;
  mechanic_ = std::make_unique<Mechanic>(options_, memory_of(gpus), std::move(to_spare));
  hooks.mechanic = mechanic_.get();
  if (has_gate) {
    auto name_of = [machine = this_machine({})](unsigned pid) { return machine.process_name(pid); };
    hooks.free_memory = [memory = FreeMemory(std::move(name_of))](const Gpus& of) mutable {
      return memory.least_of(of);
    };
  }
  if (runs_elsewhere(options_)) {
    far_ = std::make_unique<FarEngines>(
        io_, options_, hooks.inherited, self, static_cast<int>(plans.size()),
        [](const std::string& sentence) { log({{spdlog::level::warn, sentence}}); });
    log({{spdlog::level::info, far_->introduction()}});
    hooks.far = far_.get();
  }
  liveness_.resize(plans.size());
  launcher_ = std::make_unique<Launcher>(io_, options_, std::move(plans), std::move(hooks),
                                         std::move(kept));
}

std::string BackendControl::log_directory() const {
  if (!launcher_ || roster()->all().empty()) return {};
  const std::string& log = launcher_->plan(roster()->all().front()->id()).log_file;
  return log.substr(0, log.rfind('/'));
}

void BackendControl::start() {
  hooks_.publish(roster());
  for (const BackendPtr& backend : roster()->all()) watch(*backend);
  names_.start();
  monitor_.start();
  if (!launcher_) return;
  const RosterPtr engines = roster();  // each step makes another
  for (const BackendPtr& engine : engines->all()) {
    registry_.apply(engine->id(), BackendEvent::kLaunched);
  }
  launcher_->start();
}

void BackendControl::stop(std::function<void()> on_done) {
  monitor_.stop();
  names_.stop();
  if (!launcher_) return on_done();
  if (*options_.proxy.launcher.keep) {
    launcher_->leave();
    return on_done();
  }
  launcher_->stop(std::move(on_done));
}

void BackendControl::kill_now() {
  if (launcher_) launcher_->kill_now();
}

std::vector<std::string> BackendControl::not_ended() const {
  return launcher_ ? launcher_->not_ended() : std::vector<std::string>();
}

void BackendControl::watch(const BackendRecord& backend) {
  notes_[backend.id()] = BackendNotes();
  notes_[backend.id()].begin_state(std::chrono::steady_clock::now());
  monitor_.add(backend.endpoint);
  const auto at = parse_host_port(backend.endpoint->authority);
  if (at && !is_address(at->host)) names_.add(backend.id(), *at);
}

std::vector<std::string> BackendControl::replace(const Options& options) {
  if (launcher_) return {};
  const auto changes = registry_.replace(running_servers(options), hooks_.in_use);
  if (!changes) {
    throw std::runtime_error(fmt::format(
        "more than {} backends, counting those that still finish what they had", BackendSet::kMax));
  }
  std::vector<std::string> lines;
  for (const BackendId id : changes->added) {
    lines.push_back(registry_[id].name() + " is new");
    watch(registry_[id]);
  }
  for (const BackendId id : changes->removed) {
    lines.push_back(registry_[id].name() + " gets no more requests");
    monitor_.remove(id);
    names_.remove(id);
  }
  for (const BackendId id : changes->retold) monitor_.set_endpoint(registry_[id].endpoint);
  return lines;
}

void BackendControl::look_again() {
  monitor_.set_intervals(intervals(options_));
  monitor_.look_again();
  names_.look_again();
}

void BackendControl::report_failure(BackendId backend, bool unreachable) {
  monitor_.report_failure(backend, unreachable);
}

void BackendControl::look_at(BackendId backend, BackendMonitor::Tell tell) {
  monitor_.look_at(backend, std::move(tell));
}

void BackendControl::refresh_models(BackendMonitor::Done done) {
  monitor_.refresh_models(std::move(done));
}

// --- what the monitor and the look-ups see ------------------------------------------------------

void BackendControl::step(BackendId backend, BackendEvent event, const std::string& why) {
  // Looked at first: once it is up, the first of them leave at once.
  const std::uint64_t held = narrator_.in_outage() ? hooks_.snapshot().queued.get() : 0;
  const BackendPtr before = roster()->all()[backend];
  if (!registry_.apply(backend, event, why).moved()) return;
  const BackendRecord& now = registry_[backend];
  note_step(now);
  names_.set_ready(backend, now.is_ready());
  log(narrator_.on_step(*before, now, *roster()));
  hooks_.announce();
  log(narrator_.on_ready_set(!roster()->ready().empty(), held,
                             options_.proxy.hold_timeout->count()));
}

void BackendControl::note_step(const BackendRecord& now) {
  const TimePoint at = std::chrono::steady_clock::now();
  BackendNotes& notes = notes_[now.id()];
  notes.begin_state(at);
  if (!now.is_ready()) notes.forget_gauges();
  if (now.state != BackendState::kUnready) return;
  notes.note_problem(now.why, at);
  notes.told = at;
}

// Why it is not ready is another by now: it may refuse no connections any more, but show a
// certificate that has expired.
void BackendControl::on_problem(BackendId backend, const std::string& why) {
  registry_.set_why(backend, why);
  const BackendRecord& now = registry_[backend];
  if (now.state != BackendState::kUnready || why.empty()) return;
  const TimePoint at = std::chrono::steady_clock::now();
  BackendNotes& notes = notes_[backend];
  notes.note_problem(why, at);
  if (at - notes.told < kTellAgain) return;
  notes.told = at;
  log({{spdlog::level::warn,
        fmt::format("{} ({}) is still not ready: {}", now.name(), now.endpoint->url(), why)}});
}

void BackendControl::on_event(BackendId backend, BackendEvent event, const std::string& why) {
  step(backend, event, why);
  const bool ours = registry_[backend].origin == BackendOrigin::kLaunched;
  if (ours && event == BackendEvent::kProbePassed) launcher_->look_at(backend);
}

void BackendControl::on_abilities(BackendId backend, const Abilities& abilities) {
  BackendTraits traits = registry_[backend].traits;
  traits.exact_usage = abilities.token_ids;
  traits.chat_batches = abilities.chat_batches;
  registry_.set_traits(backend, traits);
  const bool was_keyed = registry_[backend].keyed;
  registry_.set_keyed(backend, abilities.keyed);
  log(tell_of_key(registry_[backend], was_keyed, hooks_.have_keys()));
}

void BackendControl::on_metrics(BackendId backend, const std::optional<EngineMetrics>& metrics) {
  if (metrics) {
    BackendTraits traits = registry_[backend].traits;
    traits.kv_tokens = metrics->kv_tokens;
    registry_.set_traits(backend, traits);
  }
  notes_[backend].tells = metrics.has_value();
  if (metrics) {
    notes_[backend].figures = metrics->figures;
  } else {
    notes_[backend].forget_gauges();
  }
  hooks_.observe(backend, metrics ? std::optional(metrics->sample) : std::nullopt);
}

// What its name leads to has changed, or that it leads nowhere.
void BackendControl::on_move(BackendId backend, const NameTracker& name) {
  Endpoint next = *registry_[backend].endpoint;
  next.addresses = name.addresses();
  next.problem = name.problem();
  registry_.set_endpoint(std::make_shared<const Endpoint>(std::move(next)));
  monitor_.set_endpoint(registry_[backend].endpoint);
  log(tell_move(registry_[backend], name.news()));
}

// --- what the launcher sees ---------------------------------------------------------------------

void BackendControl::show_engine(BackendId engine, const std::string& text, bool milestone) {
  notes_[engine].doing = text;
  console_.engine(registry_[engine], text, milestone, std::chrono::steady_clock::now());
}

// What the narrator tells as well, of all whom it concerns.
void BackendControl::show_in_place(BackendId engine, const std::string& text) {
  notes_[engine].doing = text;
  console_.engine_in_place(registry_[engine], text, std::chrono::steady_clock::now());
}

void BackendControl::on_starting(BackendId engine) {
  log(narrator_.on_starting(registry_[engine], std::chrono::steady_clock::now()));
  liveness_[engine].start_anew();
  // A repair may have changed how many requests it takes at once, and on which GPUs it is.
  BackendTraits traits = registry_[engine].traits;
  traits.max_num_seqs = static_cast<std::uint32_t>(launcher_->plan(engine).max_num_seqs);
  registry_.set_traits(engine, traits);
  registry_.set_gpus(engine, join_gpus(launcher_->plan(engine).gpus));
  if (launcher_->plan(engine).is_far) set_place(engine, std::nullopt);
  // What was seen of its last process says nothing of this one.
  monitor_.remove(engine);
  monitor_.add(registry_[engine].endpoint);
  step(engine, BackendEvent::kLaunched);
}

void BackendControl::on_started(BackendId engine, pid_t pid) {
  show_engine(engine, fmt::format("started, pid {}", pid), true);
}

void BackendControl::on_placed(BackendId engine, const EnginePlace& place) {
  set_place(engine, place);
  const std::string gpus = place.gpus.empty() ? "" : ", GPUs " + place.gpus;
  show_engine(engine, fmt::format("on node {}{}", place.node, gpus), true);
}

// Where an engine of another node is from now on; nothing: nowhere yet.
void BackendControl::set_place(BackendId engine, const std::optional<EnginePlace>& place) {
  Endpoint next = *registry_[engine].endpoint;
  if (place) {
    next = placed_endpoint(std::move(next), place->address);
    registry_.set_gpus(engine, place->gpus, place->node);
  } else {
    next = unplaced_endpoint(std::move(next));
  }
  registry_.set_endpoint(std::make_shared<const Endpoint>(std::move(next)));
  if (place) monitor_.set_endpoint(registry_[engine].endpoint);
}

void BackendControl::on_stage(BackendId engine, const std::string& text) {
  show_engine(engine, text, false);
}

void BackendControl::on_ready(BackendId engine, double seconds) {
  show_engine(engine, fmt::format("ready after {:.1f} s", seconds), true);
  step(engine, BackendEvent::kCameUp);
}

void BackendControl::on_delay(BackendId engine, const std::string& text) {
  // How it fares while it lasts is asked when it is shown.
  const TimePoint now = std::chrono::steady_clock::now();
  console_.engine_in_place(registry_[engine], text, now);
  narrator_.on_delay(registry_[engine], text, now);
}

void BackendControl::on_remark(BackendId, const std::string& sentence) {
  log({{spdlog::level::warn, sentence}});
}

void BackendControl::on_failed(BackendId engine, const EngineFailure& failure, NextStart next) {
  show_in_place(engine, next ? "failed, starts again" : "failed");
  note_failure(engine, "it did not start", failure);
  log(narrator_.on_failed_start(registry_[engine], failure, next, *roster(),
                                std::chrono::steady_clock::now()));
  lose_engine(engine, BackendEvent::kGivenUp, next);
}

void BackendControl::on_exited(BackendId engine, const EngineFailure& failure, NextStart next) {
  note_failure(engine, "it has ended", failure);
  log(narrator_.on_exited(registry_[engine], failure, launcher_->plan(engine).log_file, next,
                          *roster(), std::chrono::steady_clock::now()));
  lose_engine(engine, BackendEvent::kExited, next);
}

void BackendControl::note_failure(BackendId engine, std::string_view what,
                                  const EngineFailure& failure) {
  std::string text = fmt::format("{}: {}", what, failure.how);
  if (!failure.evidence.empty()) text += ": " + failure.evidence;
  notes_[engine].note_problem(std::move(text), std::chrono::steady_clock::now());
}

void BackendControl::on_stopped(BackendId engine, const std::string& doubt) {
  show_engine(engine, doubt.empty() ? "stopped" : "stopped, as far as is known", true);
  step(engine, BackendEvent::kEnded);
  notes_[engine].doing = doubt;
  monitor_.remove(engine);
  if (doubt.empty()) return;
  log({{spdlog::level::warn,
        fmt::format("{} counts as stopped: {}", registry_[engine].name(), doubt)}});
}

EngineCondition BackendControl::condition(BackendId backend) const {
  const bool is_ours = launcher_ && registry_[backend].origin == BackendOrigin::kLaunched;
  return is_ours ? launcher_->condition(backend) : EngineCondition();
}

// Engines that never came up, and are not started again, are a mistake to be mended: we stop and
// say so. Engines that did are an outage: whoever calls keeps a port to call, and is told to try
// again.
void BackendControl::lose_engine(BackendId engine, BackendEvent event, const NextStart& next) {
  step(engine, next ? BackendEvent::kRestartPlanned : event, "it has ended");
  monitor_.remove(engine);
  const std::vector<BackendPtr>& engines = roster()->all();
  const auto has_failed = [](const BackendPtr& one) { return one->state == BackendState::kFailed; };
  if (!narrator_.is_serving()) return;
  if (!std::ranges::all_of(engines, has_failed)) {
    if (!next) log(narrator_.on_lost(registry_[engine]));
    return;
  }
  const auto was_ready = [](const BackendPtr& one) { return one->was_ready; };
  const bool any_was_up = std::ranges::any_of(engines, was_ready);
  log(narrator_.on_all_lost(any_was_up, options_.proxy.hold_timeout->count(),
                            std::chrono::steady_clock::now()));
  if (!any_was_up) hooks_.none_started();
}

void BackendControl::on_stall(const Stall& stall) {
  log(tell_stall(registry_[stall.backend], stall));
  if (stall.stuck && !stall.again) {
    notes_[stall.backend].note_problem(
        fmt::format("it stood still: {} prompts without a byte for {:.0f} s", stall.inflight,
                    std::chrono::duration<double>(stall.quiet).count()),
        std::chrono::steady_clock::now());
  }
  if (stall.backend < liveness_.size()) liveness_[stall.backend].set_stuck(stall.stuck);
}

void BackendControl::check_liveness(TimePoint now) {
  const Duration timeout = to_duration(*options_.proxy.launcher.liveness_timeout);
  for (BackendId engine = 0; engine < liveness_.size(); ++engine) {
    const BackendState state = registry_[engine].state;
    const std::string silence = condition(engine).silence;
    Liveness& liveness = liveness_[engine];
    liveness.set_unready(state == BackendState::kUnready);
    liveness.set_unwatched(!silence.empty());
    if (!is_up(state) || !liveness.is_dead(hooks_.answered(engine), timeout, now)) continue;
    const Duration patience = liveness.patience(timeout);
    launcher_->give_up_on(engine,
                          fmt::format("killed: no sign of life for {:g} s ({})",
                                      std::chrono::duration<double>(patience).count(),
                                      patience == timeout ? "launcher.liveness_timeout" : silence));
  }
}

}  // namespace batchproxy
