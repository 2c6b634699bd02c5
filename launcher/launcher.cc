// launcher/launcher.cc - timers and processes around the state that the registry keeps of each
// engine.
#include "launcher/launcher.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "launcher/process/engine_process.h"
#include "launcher/process/log_tail.h"
#include "launcher/diagnosis/startup_stage.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kFailureLogLines = 20;

Clock::duration ticks(Seconds seconds) {
  return std::chrono::duration_cast<Clock::duration>(seconds);
}

std::string seconds_text(Seconds seconds) {
  return std::to_string(std::lround(seconds.count())) + " s";
}

struct Engine {
  Engine(asio::io_context& io, EnginePlan its_plan)
      : plan(std::move(its_plan)), log(plan.log_file), timer(io) {}

  Seconds age() const { return Clock::now() - started_at; }

  const EnginePlan plan;
  LogTail log;
  StartupLogReader log_reader;
  std::string stage;  // the newest, in words
  asio::steady_timer timer;
  Clock::time_point started_at;
  bool is_running = false;
  std::unique_ptr<EngineProcess> process;  // until its tree is gone
};

}  // namespace

// Handlers hold it weakly: a timer may end after the Launcher is destroyed.
struct Launcher::Core : std::enable_shared_from_this<Core> {
  Core(asio::io_context& its_io, const Options& options, std::vector<EnginePlan> plans,
       LauncherHooks its_hooks)
      : io(its_io),
        hooks(std::move(its_hooks)),
        stagger(*options.proxy.launcher.engine == "sim" ? Seconds(0)
                                                        : *options.proxy.launcher.stagger),
        stop_timeout(*options.proxy.launcher.stop_timeout),
        startup_timeout(*options.worker.server_startup_timeout),
        stagger_timer(io) {
    for (EnginePlan& plan : plans) {
      engines.push_back(std::make_unique<Engine>(io, std::move(plan)));
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

  void start_next(std::size_t position) {
    if (position >= engines.size()) return;
    start_engine(*engines[position]);
    stagger_timer.expires_after(ticks(stagger));
    stagger_timer.async_wait(guarded([position](Core& core) { core.start_next(position + 1); }));
  }

  void start_engine(Engine& engine) {
    EngineCommand command;
    command.shim_executable = hooks.self_executable;
    command.argv = engine.plan.argv;
    command.environment = changed_environment(hooks.inherited, engine.plan.environment);
    command.log_file = engine.plan.log_file;
    command.log_descriptor = engine.plan.log_descriptor;
    command.stop_timeout = stop_timeout;
    engine.process = std::make_unique<EngineProcess>(io.get_executor(), hooks_for(engine));
    engine.started_at = Clock::now();
    if (const auto error = engine.process->start(command)) {
      engine.process.reset();
      return fail(engine, *error);
    }
    schedule_watch(engine);
  }

  // The process belongs to the engine, which belongs to us, and calls no hook once destroyed.
  EngineProcess::Hooks hooks_for(Engine& engine) {
    return {[this, &engine](pid_t pid) { on_started(engine, pid); },
            [this, &engine](const std::string& how) { on_exited(engine, how); },
            [this, &engine] { on_gone(engine); }};
  }

  void on_started(Engine& engine, pid_t pid) {
    engine.is_running = true;
    if (!stopping) hooks.events->on_started(engine.plan.backend, pid);
  }

  void schedule_watch(Engine& engine) {
    const Seconds left = startup_timeout - engine.age();
    engine.timer.expires_after(ticks(std::clamp(left, Seconds(0), hooks.look_interval)));
    engine.timer.async_wait(guarded([&engine](Core& core) { core.watch(engine); }));
  }

  void watch(Engine& engine) {
    look(engine);
    if (!stopping && is_starting(engine)) schedule_watch(engine);
  }

  void look(Engine& engine) {
    if (stopping || !engine.process || !is_starting(engine)) return;
    report_progress(engine);
    if (engine.age() >= startup_timeout) {
      return fail(engine, "not ready " + seconds_text(startup_timeout) +
                              " after its start (server_startup_timeout)" + last_seen(engine));
    }
    // Before it runs, whatever answers on its port is somebody else.
    if (!engine.is_running || !hooks.answers(engine.plan.backend)) return;
    engine.timer.cancel();
    hooks.events->on_ready(engine.plan.backend, engine.age().count());
  }

  BackendState state_of(const Engine& engine) const { return hooks.state(engine.plan.backend); }
  bool is_starting(const Engine& engine) const {
    return state_of(engine) == BackendState::kStarting;
  }

  void report_progress(Engine& engine) {
    const auto progress = engine.log_reader.feed(engine.log.read_new());
    if (!progress) return;
    engine.stage = describe(*progress);
    hooks.events->on_stage(engine.plan.backend, engine.stage);
  }

  void on_exited(Engine& engine, const std::string& how) {
    if (stopping) return;
    if (is_starting(engine)) {
      report_progress(engine);
      return fail(engine, "ended " + seconds_text(engine.age()) + " after its start: " + how +
                              last_seen(engine));
    }
    if (is_up(state_of(engine))) hooks.events->on_exited(engine.plan.backend, how);
  }

  void fail(Engine& engine, const std::string& reason) {
    engine.timer.cancel();
    if (engine.process) engine.process->stop();
    hooks.events->on_failed(engine.plan.backend, reason, engine.log.last_lines(kFailureLogLines));
  }

  static std::string last_seen(const Engine& engine) {
    return engine.stage.empty() ? "" : "; last seen: " + engine.stage;
  }

  void on_gone(Engine& engine) {
    engine.process.reset();
    finish_stop();
  }

  void stop(std::function<void()> on_done) {
    stopping = true;
    on_stopped = std::move(on_done);
    stagger_timer.cancel();
    for (const auto& engine : engines) {
      engine->timer.cancel();
      if (engine->process) engine->process->stop();
    }
    asio::post(io, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->finish_stop();
    });
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
    std::exchange(on_stopped, nullptr)();
  }

  asio::io_context& io;
  const LauncherHooks hooks;
  const Seconds stagger;
  const Seconds stop_timeout;
  const Seconds startup_timeout;
  asio::steady_timer stagger_timer;
  std::vector<std::unique_ptr<Engine>> engines;
  bool stopping = false;
  std::function<void()> on_stopped;
};

Launcher::Launcher(asio::io_context& io, const Options& options, std::vector<EnginePlan> plans,
                   LauncherHooks hooks)
    : core_(std::make_shared<Core>(io, options, std::move(plans), std::move(hooks))) {}

Launcher::~Launcher() = default;

void Launcher::start() {
  asio::post(core_->io, core_->guarded([](Core& core) { core.start_next(0); }));
}

void Launcher::look_at(BackendId engine) {
  core_->look(core_->find(engine));
}

const EnginePlan& Launcher::plan(BackendId engine) const {
  return core_->find(engine).plan;
}

void Launcher::stop(std::function<void()> on_done) {
  core_->stop(std::move(on_done));
}

void Launcher::kill_now() {
  for (const auto& engine : core_->engines) {
    if (engine->process) engine->process->kill();
  }
}

}  // namespace batchproxy
