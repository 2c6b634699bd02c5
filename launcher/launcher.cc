// launcher/launcher.cc - timers and processes around the state that the registry keeps of each
// engine.
#include "launcher/launcher.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "launcher/diagnosis/startup_stage.h"
#include "launcher/process/engine_process.h"
#include "launcher/process/log_tail.h"
#include "launcher/process/port_allocator.h"
#include "launcher/process/run_separator.h"
#include "launcher/supervision/gpu_gate.h"
#include "launcher/supervision/restart_policy.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kFailureLogLines = 20;
// What loads has nothing to finish, and vLLM does not hear SIGTERM meanwhile.
constexpr Seconds kLoadingGrace{2};
// Programs that do not know a flag end so, and at once.
constexpr int kUsageExit = 2;
constexpr auto kUsageTime = std::chrono::seconds(10);
constexpr Duration kAfterRepair = std::chrono::seconds(1);
constexpr auto kGateLook = std::chrono::seconds(1);

Clock::duration ticks(Seconds seconds) {
  return std::chrono::duration_cast<Clock::duration>(seconds);
}

std::string seconds_text(Seconds seconds) {
  return std::to_string(std::lround(seconds.count())) + " s";
}

// What follows once no process of an engine is left.
enum class Next : std::uint8_t { kStart, kTellStopped, kNothing };

struct Engine {
  Engine(asio::io_context& io, EnginePlan its_plan, bool restarts)
      : plan(std::move(its_plan)),
        policy(restarts, std::uint32_t{plan.backend} + 1),
        log(plan.log_file),
        timer(io) {}

  Seconds age() const { return Clock::now() - run.started_at; }

  EnginePlan plan;  // repairs change its command
  RestartPolicy policy;
  GpuGate gate;
  LogTail log;
  asio::steady_timer timer;                // until its next start, or the next look at it
  std::unique_ptr<RunningEngine> process;  // until its tree is gone
  Next next = Next::kNothing;
  Clock::time_point due;  // of kStart
  int far_starts = 0;     // of agents for it
  std::string doubt{};    // what is not known of the end of a run, until there is another

  // What is known of its present run.
  struct Run {
    StartupLogReader log_reader{};
    std::string stage{};  // the newest, in words
    Clock::time_point started_at{};
    std::optional<Clock::time_point> ready_at{};
    bool is_placed = false;  // it is on its node
    bool is_running = false;
    bool is_over = false;  // its end was asked for, or has been told
  };
  Run run;
};

}  // namespace

// Handlers hold it weakly: a timer may end after the Launcher is destroyed.
struct Launcher::Core : std::enable_shared_from_this<Core> {
  Core(asio::io_context& its_io, const Options& options, std::vector<EnginePlan> plans,
       LauncherHooks its_hooks, std::vector<KeptEngine> its_kept)
      : io(its_io),
        hooks(std::move(its_hooks)),
        keeps(*options.proxy.launcher.keep),
        kept(std::move(its_kept)),
        stagger(*options.proxy.launcher.engine == "sim" ? Seconds(0)
                                                        : *options.proxy.launcher.stagger),
        stop_timeout(*options.proxy.launcher.stop_timeout),
        startup_timeout(*options.worker.server_startup_timeout),
        stagger_timer(io) {
    const bool restarts = *options.proxy.launcher.restart != "never";
    for (EnginePlan& plan : plans) {
      engines.push_back(std::make_unique<Engine>(io, std::move(plan), restarts));
    }
  }

  // A handler for timers and posts that does nothing once the Core is gone or stopping.
  template <class Function>
  auto guarded(Function function) {
    return [weak = weak_from_this(), function](const boost::system::error_code& error = {}) {
      const auto self = weak.lock();
      if (self && !error && !self->stopping) function(*self);
    };
  }

  void tell(const Engine& engine, const std::vector<std::string>& sentences) {
    for (const std::string& sentence : sentences) {
      hooks.events->on_remark(engine.plan.backend, sentence);
    }
  }

  // --- a start --------------------------------------------------------------------------------

  void start_next(std::size_t position) {
    if (position >= engines.size()) return;
    Engine& engine = *engines[position];
    if (hooks.mechanic != nullptr) tell(engine, hooks.mechanic->prepare(engine.plan));
    // An order may have been faster.
    if (!engine.process && is_starting(engine)) start_first(engine);
    stagger_timer.expires_after(ticks(stagger));
    stagger_timer.async_wait(guarded([position](Core& core) { core.start_next(position + 1); }));
  }

  // One that runs already is taken over.
  void start_first(Engine& engine) {
    const auto its = std::ranges::find(kept, engine.plan.name, &KeptEngine::name);
    if (its == kept.end() || its->connection.get() < 0) {
      return start_when_clear(engine, Clock::now());
    }
    begin_run(engine);
    auto process = std::make_unique<EngineProcess>(io.get_executor(), hooks_for(engine));
    process->adopt(std::move(its->connection));
    engine.process = std::move(process);
    if (its->identity == engine.plan.identity) return schedule_watch(engine);
    tell(engine, {engine.plan.name + " runs with other settings than these; it is restarted"});
    order(engine, Next::kStart);
  }

  // Engines that nobody has planned.
  void stop_strangers() {
    for (KeptEngine& one : kept) {
      const bool is_planned = std::ranges::any_of(
          engines, [&one](const auto& engine) { return engine->plan.name == one.name; });
      if (is_planned) continue;
      EngineProcess stranger(io.get_executor(), {});
      stranger.adopt(std::move(one.connection));
      stranger.stop();
    }
  }

  void begin_run(Engine& engine) {
    engine.next = Next::kNothing;
    engine.run = {.started_at = Clock::now(), .is_placed = !engine.plan.is_far};
    engine.log = LogTail(engine.plan.log_file);
    hooks.events->on_starting(engine.plan.backend);
  }

  // At the time that is due.
  void start_later(Engine& engine) {
    engine.timer.expires_at(engine.due);
    engine.timer.async_wait(
        guarded([&engine](Core& core) { core.start_when_clear(engine, Clock::now()); }));
  }

  // Once nobody else has its port, and the memory of its GPUs is back; it waits since `since`.
  void start_when_clear(Engine& engine, Clock::time_point since) {
    if (engine.plan.is_far) return start_far(engine);
    const auto why_wait = why_not_clear(engine, Clock::now() - since);
    if (!why_wait) return start_engine(engine);
    hooks.events->on_stage(engine.plan.backend, *why_wait);
    engine.timer.expires_after(kGateLook);
    engine.timer.async_wait(
        guarded([&engine, since](Core& core) { core.start_when_clear(engine, since); }));
  }

  // It could not bind its port, and until it had found out, its requests would go to whoever has.
  std::optional<std::string> why_not_clear(Engine& engine, Duration waited) {
    if (!engine.process && is_listened_to(engine.plan.port)) {
      return "waiting for port " + std::to_string(engine.plan.port) +
             ", where another program listens";
    }
    const auto free = engine.plan.gpus.empty() ? std::nullopt : hooks.free_memory(engine.plan.gpus);
    return engine.gate.why_wait(free, waited);
  }

  void start_engine(Engine& engine) {
    if (engine.process) return;
    EngineCommand command;
    command.shim_executable = hooks.self_executable;
    command.argv = engine.plan.argv;
    command.environment = changed_environment(hooks.inherited, engine.plan.environment);
    command.log_file = engine.plan.log_file;
    command.run = run_name(engine.plan.name, engine.policy.restarts() + 1);
    if (engine.plan.log_descriptor >= 0) command.held = {engine.plan.log_descriptor};
    command.stop_timeout = stop_timeout;
    if (keeps) {
      command.keep_as = engine.plan.name;
      command.greeting = kept_greeting(engine.plan.identity, engine.plan.port);
    }
    begin_run(engine);
    auto process = std::make_unique<EngineProcess>(io.get_executor(), hooks_for(engine));
    if (const auto error = process->start(command)) {
      fail(engine, {*error}, *error);
      return act(engine);
    }
    engine.process = std::move(process);
    schedule_watch(engine);
  }

  // Its port is free, and its GPUs are: its agent and whoever brings it there see to that.
  void start_far(Engine& engine) {
    if (engine.process) return;
    begin_run(engine);
    const int start = ++engine.far_starts;
    engine.process =
        hooks.far->start(engine.plan, start, run_name(engine.plan.name, start), hooks_for(engine));
    schedule_watch(engine);
  }

  // Its time to load begins now: it may have waited long for a node.
  void on_placed(Engine& engine, const EnginePlace& place) {
    if (stopping || engine.run.is_over) return;
    engine.run.is_placed = true;
    engine.run.started_at = Clock::now();
    engine.doubt.clear();
    hooks.events->on_placed(engine.plan.backend, place);
  }

  void on_far_stage(Engine& engine, const std::string& text) {
    if (stopping || !is_loading(engine)) return;
    engine.run.stage = text;
    hooks.events->on_stage(engine.plan.backend, text);
  }

  // The process belongs to the engine, which belongs to us, and calls no hook once destroyed.
  EngineHooks hooks_for(Engine& engine) {
    return {[this, &engine](pid_t pid) { on_started(engine, pid); },
            [this, &engine](const EngineEnd& end) { on_exited(engine, end); },
            [this, &engine] { on_gone(engine); },
            [this, &engine](const std::string& text) { on_far_stage(engine, text); },
            [this, &engine](const EnginePlace& place) { on_placed(engine, place); },
            [this, &engine](const std::string& text) {
              hooks.events->on_delay(engine.plan.backend, text);
            }};
  }

  void on_started(Engine& engine, pid_t pid) {
    engine.run.is_running = true;
    if (!stopping && !engine.run.is_over) hooks.events->on_started(engine.plan.backend, pid);
  }

  void schedule_watch(Engine& engine) {
    const Seconds left =
        engine.run.is_placed ? startup_timeout - engine.age() : hooks.look_interval;
    engine.timer.expires_after(ticks(std::clamp(left, Seconds(0), hooks.look_interval)));
    engine.timer.async_wait(guarded([&engine](Core& core) { core.watch(engine); }));
  }

  void watch(Engine& engine) {
    look(engine);
    if (!stopping && is_loading(engine)) schedule_watch(engine);
  }

  void look(Engine& engine) {
    if (stopping || !is_loading(engine)) return;
    report_progress(engine);
    if (engine.run.is_placed && engine.age() >= startup_timeout) {
      const std::string how = "not ready " + seconds_text(startup_timeout) +
                              " after its start (server_startup_timeout)";
      return fail(engine, {how}, how + last_seen(engine));
    }
    // Before it runs, whatever answers on its port is somebody else.
    if (!engine.run.is_running || !hooks.answers(engine.plan.backend)) return;
    engine.timer.cancel();
    engine.run.ready_at = Clock::now();
    hooks.events->on_ready(engine.plan.backend, engine.age().count());
    if (hooks.mechanic == nullptr) return;
    tell(engine, hooks.mechanic->after_good_start(engine.plan, engine.log.begin()));
  }

  bool is_starting(const Engine& engine) const {
    return hooks.state(engine.plan.backend) == BackendState::kStarting;
  }
  bool is_loading(const Engine& engine) const {
    return engine.process && !engine.run.is_over && is_starting(engine);
  }

  void report_progress(Engine& engine) {
    const auto progress = engine.run.log_reader.feed(engine.log.read_new());
    if (!progress) return;
    engine.run.stage = describe(*progress);
    hooks.events->on_stage(engine.plan.backend, engine.run.stage);
  }

  Seconds loading_grace() const { return std::min(kLoadingGrace, stop_timeout); }

  // Of one that is on no node yet, its end says all.
  static std::string last_seen(const Engine& engine) {
    const bool is_silent = engine.run.stage.empty() || !engine.run.is_placed;
    return is_silent ? "" : "; last seen: " + engine.run.stage;
  }

  // --- an end ---------------------------------------------------------------------------------

  void on_exited(Engine& engine, const EngineEnd& end) {
    engine.run.is_running = false;
    if (stopping || engine.run.is_over) return;
    const bool refuses = end.exit_code == kUsageExit && engine.age() < kUsageTime;
    end_run(engine, end, refuses || end.is_hopeless);
  }

  // Tells that a run has ended which nobody had asked to end.
  void end_run(Engine& engine, const EngineEnd& end, bool is_hopeless = false) {
    if (!engine.run.ready_at) {
      report_progress(engine);
      return fail(engine, end,
                  "ended " + seconds_text(engine.age()) + " after its start: " + end.how +
                      last_seen(engine),
                  is_hopeless);
    }
    const FailureReport found = hooks.mechanic == nullptr
                                    ? FailureReport()
                                    : hooks.mechanic->after_death(engine.plan, engine.log.begin());
    const NextStart next = plan_next(engine, false);
    engine.run.is_over = true;
    hooks.events->on_exited(engine.plan.backend,
                            {.how = end.how,
                             .reason = end.how,
                             .node = end.node,
                             .cause = found.cause,
                             .findings = found.lines,
                             .evidence = found.evidence},
                            next);
  }

  // `how`: what the end is, and when it came.
  void fail(Engine& engine, const EngineEnd& end, const std::string& how,
            bool is_hopeless = false) {
    engine.timer.cancel();
    engine.run.is_over = true;
    if (engine.process) engine.process->stop(loading_grace());
    const Gpus before = engine.plan.gpus;
    const FailureReport found = hooks.mechanic == nullptr ? FailureReport()
                                                          : hooks.mechanic->after_failed_start(
                                                                engine.plan, engine.log.begin());
    // Of other GPUs nothing has to come back.
    const bool has_some_of_them = std::ranges::any_of(engine.plan.gpus, [&before](const Gpu& gpu) {
      return std::ranges::count(before, gpu) > 0;
    });
    if (!before.empty() && !has_some_of_them) engine.gate = GpuGate();
    const NextStart next = found.is_repaired ? start_in(engine, kAfterRepair)
                                             : plan_next(engine, found.is_hopeless || is_hopeless);
    hooks.events->on_failed(engine.plan.backend,
                            {.how = how,
                             .reason = end.how,
                             .node = end.node,
                             .cause = found.cause,
                             .findings = found.lines,
                             .last_lines = engine.log.last_lines(kFailureLogLines),
                             .evidence = found.evidence},
                            next);
  }

  NextStart start_in(Engine& engine, Duration delay) {
    engine.next = Next::kStart;
    engine.due = Clock::now() + delay;
    return delay;
  }

  NextStart plan_next(Engine& engine, bool is_hopeless) {
    RunEnd end{.is_hopeless = is_hopeless};
    if (engine.run.ready_at) end.up_for = Clock::now() - *engine.run.ready_at;
    const NextStart next = engine.policy.on_ended(end);
    if (next) return start_in(engine, *next);
    engine.next = Next::kNothing;
    return next;
  }

  void on_gone(Engine& engine) {
    const std::string doubt = engine.process->condition().doubt;
    if (!doubt.empty()) engine.doubt = doubt;
    engine.process.reset();
    engine.gate.close();
    if (stopping) return finish_stop();
    if (engine.next == Next::kStart && !doubt.empty()) {
      tell(engine, {engine.plan.name + " waits no longer: " + doubt +
                    ". Its next start there waits for that"});
    }
    act(engine);
  }

  // No process of it is left, but for what its doubt says.
  void act(Engine& engine) {
    switch (engine.next) {
      case Next::kStart:
        engine.policy.on_started_again();
        return start_later(engine);
      case Next::kTellStopped:
        engine.next = Next::kNothing;
        return hooks.events->on_stopped(engine.plan.backend, engine.doubt);
      case Next::kNothing:
        return;
    }
  }

  // --- orders ---------------------------------------------------------------------------------

  void order(Engine& engine, Next next) {
    if (stopping) return;
    engine.policy.on_ordered();
    engine.next = next;
    engine.due = Clock::now();
    engine.timer.cancel();
    if (!engine.process) return act(engine);
    const bool was_loading = is_loading(engine);
    engine.run.is_over = true;
    engine.process->stop(was_loading ? std::optional(loading_grace()) : std::nullopt);
  }

  void give_up_on(Engine& engine, const std::string& why) {
    if (stopping || !engine.process || engine.run.is_over) return;
    engine.process->kill();
    end_run(engine, {why});
  }

  void stop(std::function<void()> on_done) {
    on_stopped = std::move(on_done);
    stagger_timer.cancel();
    for (const auto& engine : engines) {
      engine->timer.cancel();
      if (!engine->process) continue;
      engine->process->stop(is_loading(*engine) ? std::optional(loading_grace()) : std::nullopt);
    }
    stopping = true;
    asio::post(io, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->finish_stop();
    });
  }

  void leave() {
    stopping = true;
    stagger_timer.cancel();
    for (const auto& engine : engines) {
      engine->timer.cancel();
      engine->process.reset();
    }
  }

  Engine& find(BackendId backend) {
    return **std::ranges::find(engines, backend,
                               [](const auto& engine) { return engine->plan.backend; });
  }

  void finish_stop() {
    const bool all_gone = std::none_of(engines.begin(), engines.end(), [](const auto& engine) {
      return engine->process != nullptr;
    });
    if (!stopping || !all_gone || !on_stopped) return;
    for (const auto& engine : engines) {
      if (!engine->doubt.empty()) tell(*engine, {engine->plan.name + ": " + engine->doubt});
    }
    std::exchange(on_stopped, nullptr)();
  }

  asio::io_context& io;
  const LauncherHooks hooks;
  const bool keeps;
  std::vector<KeptEngine> kept;
  const Seconds stagger;
  const Seconds stop_timeout;
  const Seconds startup_timeout;
  asio::steady_timer stagger_timer;
  std::vector<std::unique_ptr<Engine>> engines;
  bool stopping = false;
  std::function<void()> on_stopped;
};

Launcher::Launcher(asio::io_context& io, const Options& options, std::vector<EnginePlan> plans,
                   LauncherHooks hooks, std::vector<KeptEngine> kept)
    : core_(std::make_shared<Core>(io, options, std::move(plans), std::move(hooks),
                                   std::move(kept))) {}

Launcher::~Launcher() = default;

void Launcher::start() {
  asio::post(core_->io, core_->guarded([](Core& core) {
    core.stop_strangers();
    if (core.hooks.far == nullptr) return core.start_next(0);
    core.hooks.far->begin(core.guarded([](Core& ready) { ready.start_next(0); }));
  }));
}

void Launcher::look_at(BackendId engine) {
  core_->look(core_->find(engine));
}

const EnginePlan& Launcher::plan(BackendId engine) const {
  return core_->find(engine).plan;
}

int Launcher::restarts(BackendId engine) const {
  return core_->find(engine).policy.restarts();
}

EngineCondition Launcher::condition(BackendId engine) const {
  const auto& process = core_->find(engine).process;
  return process ? process->condition() : EngineCondition();
}

void Launcher::restart_engine(BackendId engine) {
  core_->order(core_->find(engine), Next::kStart);
}

void Launcher::stop_engine(BackendId engine) {
  core_->order(core_->find(engine), Next::kTellStopped);
}

void Launcher::give_up_on(BackendId engine, const std::string& why) {
  core_->give_up_on(core_->find(engine), why);
}

void Launcher::leave() {
  core_->leave();
}

void Launcher::stop(std::function<void()> on_done) {
  core_->stop(std::move(on_done));
}

void Launcher::kill_now() {
  for (const auto& engine : core_->engines) {
    if (engine->process) engine->process->kill();
  }
}

std::vector<std::string> Launcher::not_ended() const {
  std::vector<std::string> names;
  for (const auto& engine : core_->engines) {
    if (engine->process) names.push_back(engine->plan.name);
  }
  return names;
}

}  // namespace batchproxy
