// launcher/placement/far_engine.cc - see far_engine.h.
#include "launcher/placement/far_engine.h"

#include <chrono>
#include <cmath>
#include <ctime>
#include <optional>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "launcher/process/log/rotating_log.h"
#include "launcher/process/run_separator.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;

// Once the connection is lost: how long the carrier has to say why.
constexpr Seconds kLastWords{1};
// Once the engine is gone: how long its carrier may take to end by itself.
constexpr Seconds kCarrierGrace{15};

TimePoint now() {
  return std::chrono::steady_clock::now();
}

Seconds seconds(Duration time) {
  return std::chrono::duration_cast<Seconds>(time);
}

// "13:05:10", as the log writes it.
std::string clock_at(TimePoint time) {
  const auto on_clock =
      std::chrono::round<std::chrono::seconds>(std::chrono::system_clock::now() + (time - now()));
  const std::time_t then = std::chrono::system_clock::to_time_t(on_clock);
  std::tm local{};
  ::localtime_r(&then, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

template <class Hook, class... Values>
void call_hook(Hook hook, const Values&... values) {  // by value: it may destroy its owner
  if (hook) hook(values...);
}

}  // namespace

// Hooks and timers hold it weakly. A hook of the launcher may destroy the FarEngine.
struct FarEngine::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io, AgentListener& its_listener, FarCommand its_command,
        EngineHooks its_hooks)
      : listener(its_listener),
        command(std::move(its_command)),
        hooks(std::move(its_hooks)),
        timer(io),
        watch(io) {}

  // `function` for as long as we are there, and kept alive meanwhile.
  template <class Function>
  auto weakly(Function function) {
    return [weak = weak_from_this(), function](auto&&... values) {
      if (const auto self = weak.lock()) {
        function(*self, std::forward<decltype(values)>(values)...);
      }
    };
  }

  template <class Function>
  void at(asio::steady_timer& its_timer, TimePoint time, Function function) {
    its_timer.expires_at(time);
    its_timer.async_wait(
        [weak = weak_from_this(), function](const boost::system::error_code& error) {
          const auto self = weak.lock();
          if (self && !error) function(*self);
        });
  }
  template <class Function>
  void after(Seconds time, Function function) {
    at(timer, now() + std::chrono::duration_cast<Duration>(time), function);
  }

  void start(Placement& placement) {
    if (log.open(command.log_file)) {
      log.write(run_separator(command.run, utc_text(std::time(nullptr))) + "\n");
    }
    listener.expect(command.call.engine, command.call.start,
                    weakly([](State& self, ArrivedAgent agent) { self.meet(std::move(agent)); }));
    Carrier::Hooks carriers;
    carriers.on_line = weakly([](State& self, std::string_view line) { self.on_word(line); });
    carriers.on_waiting = weakly([](State& self, const std::string& why) { self.on_waiting(why); });
    carriers.on_ended = weakly([](State& self, const std::string& how) { self.on_carrier(how); });
    carrier = placement.carry(command.call, std::move(carriers));
    await_agent();
    tell_of_wait();
  }

  void stage(const std::string& text) { call_hook(hooks.on_stage, text); }
  void tell_delay(const std::string& text) { call_hook(hooks.on_delay, text); }

  // --- on its way -----------------------------------------------------------------------------

  bool is_awaited() const { return !link && !has_arrived && !is_over; }

  void await_agent() {
    awaited_since = now();
    after(command.agent_timeout, [](State& self) {
      self.give_up(fmt::format(
          "no agent has come within {:g} s (launcher.agent_timeout){}",
          self.command.agent_timeout.count(),
          self.last_word.empty() ? "" : "; the last that was said of it: " + self.last_word));
    });
  }

  // Once in a start: a carrier may hang without a word.
  void tell_of_wait() {
    const Duration patience = command.patience.patience;
    if (seconds(patience) >= command.agent_timeout) return;
    at(watch, now() + patience, [patience](State& self) {
      if (!self.is_awaited()) return;
      self.has_told_wait = true;
      self.tell_delay(self.is_queued ? "waits for a node: " + self.last_word
                                     : self.wait_for_agent(seconds(patience)));
    });
  }

  std::string wait_for_agent(Seconds so_far) const {
    const std::string node = carrier ? carrier->node() : "";
    const std::string condition = carrier ? carrier->condition() : "";
    return fmt::format("waits for its agent{}: {}{:g} s of agent_timeout ({:g} s) are over{}",
                       node.empty() ? "" : " on " + node, condition.empty() ? "" : condition + ", ",
                       so_far.count(), command.agent_timeout.count(),
                       last_word.empty() ? "" : "; the last that was said of it: " + last_word);
  }

  void on_word(std::string_view line) {
    log.write(fmt::format("[placement] {}\n", line));
    if (!is_awaited()) return;
    last_word = line;
    const bool was_queued = std::exchange(is_queued, false);
    if (is_hopeless(line)) {
      last_of_agent = line;  // its end follows, and says so
    } else {
      stage("on its way: " + last_word);
    }
    await_agent();
    if (was_queued || !has_told_wait) tell_of_wait();
  }

  void on_waiting(const std::string& why) {
    if (!is_awaited()) return;
    last_word = why;
    is_queued = true;
    timer.cancel();
    stage("waits for a node: " + why);
  }

  void give_up(const std::string& why) {
    listener.forget(command.call.engine);
    end({.how = why, .node = carriers_node, .is_hopeless = is_hopeless(why)});
    is_over = true;
    if (carrier) carrier->cancel();
    look_whether_gone();
  }

  void meet(ArrivedAgent agent) {
    has_arrived = true;
    timer.cancel();
    hello = std::move(agent.hello);
    link = std::move(agent.link);
    link->listen({weakly([](State& self, std::string_view line) { self.on_line(line); }),
                  weakly([](State& self, const std::string& why) { self.on_lost(why); })});
    link->send(to_text(to_line(command.order)));
    pulse.emplace(command.patience, now());
    follow_pulse();
    stage("its agent is on " + hello.node);
  }

  // --- there ----------------------------------------------------------------------------------

  void on_line(std::string_view text) {
    hear();
    if (!link) return;
    const auto line = parse_agent_line(text);
    const auto news = line ? read_news(*line) : std::nullopt;
    if (news) std::visit([this](const auto& one) { on_news(one); }, *news);
  }

  void on_news(const agent_news::Stage& news) { stage(hello.node + ": " + news.text); }
  void on_news(const agent_news::Log& news) { log.write(news.text); }
  void on_news(const agent_news::Placed& news) {
    const HostPort address{hello.address, static_cast<std::uint16_t>(news.port)};
    pulse->on_engine();
    call_hook(hooks.on_placed, EnginePlace{address, hello.node, news.devices});
  }
  void on_news(const agent_news::Started& news) { call_hook(hooks.on_started, pid_t{news.pid}); }
  void on_news(const agent_news::Ended& news) {
    end({.how = news.how + " (on " + hello.node + ")", .exit_code = news.code, .node = hello.node});
  }
  // The end of the connection follows.
  void on_news(const agent_news::Gone& /*news*/) { has_left_nothing = true; }
  void on_news(const agent_news::Pong& /*news*/) {}  // any line shows that it is there

  void on_lost(const std::string& why) {
    link.reset();
    if (pulse->has_order() && pulse->has_engine() && !has_left_nothing && doubt.empty()) {
      doubt = fmt::format(
          "its agent on {} was lost before it had told the engine's end, so the engine may still "
          "run there for {:g} s",
          hello.node, command.order.stop_timeout.count());
    }
    if (has_ended) return await_carrier();
    lost =
        fmt::format("its agent on {} is gone ({}): the node, its network or the agent has failed",
                    hello.node, why);
    if (!carrier) {
      if (!last_word.empty()) lost += "; " + last_word;
      return tell_lost();
    }
    after(kLastWords, [](State& self) { self.tell_lost(); });
  }

  void tell_lost() {
    end({.how = lost, .node = hello.node});
    await_carrier();
  }

  // --- over -----------------------------------------------------------------------------------

  void end(const EngineEnd& how) {
    if (std::exchange(has_ended, true)) return;
    call_hook(hooks.on_exited, how);
  }

  void await_carrier() {
    is_over = true;
    watch.cancel();
    if (!carrier) return look_whether_gone();
    carrier->expect_end();
    after(kCarrierGrace, [](State& self) {
      if (self.carrier) self.carrier->cancel();
    });
  }

  void on_carrier(const std::string& how) {
    carriers_node = carrier ? carrier->node() : "";
    const auto ended = std::exchange(carrier, nullptr);
    log.write(fmt::format("[placement] {}\n", how));
    if (is_awaited()) {
      const std::string advice = ended ? ended->advice() : "";
      const std::string why = advice.empty() ? how : how + "; " + advice;
      return give_up("its agent has not come: " + (last_of_agent.empty() ? why : last_of_agent));
    }
    last_word = how;
    if (!lost.empty() && !has_ended) {
      lost += "; " + how;
      return tell_lost();
    }
    look_whether_gone();
  }

  void look_whether_gone() {
    if (!is_over || link || carrier || std::exchange(is_gone, true)) return;
    timer.cancel();
    watch.cancel();
    call_hook(hooks.on_gone);
  }

  // --- orders ---------------------------------------------------------------------------------

  void stop(std::optional<Seconds> grace) {
    if (!link) return stop_unplaced();
    AgentLine line{"stop"};
    if (grace) line.fields.emplace_back("grace", fmt::format("{}", grace->count()));
    order(line, grace.value_or(command.order.stop_timeout));
  }

  void kill() {
    if (link) return order({"kill"}, Seconds(0));
    stop_unplaced();
    if (carrier) carrier->kill();
  }

  void stop_unplaced() {
    if (!is_awaited()) return;
    is_over = true;
    listener.forget(command.call.engine);
    if (carrier) carrier->cancel();
    asio::post(timer.get_executor(), weakly([](State& self) {
                 self.end({.how = "stopped before its agent had come"});
                 self.look_whether_gone();
               }));
  }

  // Hooks are called from the event loop.
  void order(const AgentLine& line, Seconds time) {
    link->send(to_text(line));
    pulse->on_order(now(), std::chrono::duration_cast<Duration>(time));
    at(watch, now(), [](State& self) { self.follow_pulse(); });
  }

  // --- whether it is there --------------------------------------------------------------------

  void hear() {
    const bool was_silent = pulse->silence(now()).has_value();
    pulse->on_heard(now());
    if (was_silent) follow_pulse();
  }

  // Does what is due, and waits for what is next.
  void follow_pulse() {
    if (!link) return;
    for (auto act = pulse->take(now()); act != AgentPulse::Act::kNothing;
         act = pulse->take(now())) {
      obey(act);
      if (!link) return;
    }
    at(watch, pulse->next_due(), [](State& self) { self.follow_pulse(); });
  }

  void obey(AgentPulse::Act act) {
    using Act = AgentPulse::Act;
    switch (act) {
      case Act::kAsk:
        return link->send(to_text({"ping"}));
      case Act::kTellSilent:
        return tell_delay(pulse->has_engine() ? tell_silence() : wait_for_silent());
      case Act::kTellBack:
        return tell_delay(fmt::format("hears from its agent on {} again, after {:.0f} s",
                                      hello.node, seconds(pulse->last_silence()).count()));
      case Act::kTellUnheard:
      case Act::kTellUnfinished:
        return tell_delay(wait_for_end());
      case Act::kGiveUp:
        return give_up_agent();
      case Act::kNothing:
        return;
    }
  }

  std::string tell_silence() const {
    return fmt::format(
        "has heard nothing of its agent on {} (pid {}) for {:g} s. Until that answers, a stop or "
        "restart of the engine waits for it, and the engine's log stands still",
        hello.node, hello.pid, seconds(command.patience.patience).count());
  }

  // It may sleep, or ask a driver that hangs.
  std::string wait_for_silent() const {
    return fmt::format(
        "waits for its agent on {}, which has not answered for {:.0f} s, and has "
        "started no engine: until {}",
        hello.node, silent_for(), clock_at(pulse->end().value_or(now())));
  }

  std::string wait_for_end() const {
    return fmt::format("waits for its agent on {}, which {}: until {}", hello.node,
                       pulse->silence(now()) ? "does not answer" : "has not ended its engine",
                       clock_at(pulse->end().value_or(now())));
  }

  double silent_for() const {
    return std::floor(seconds(pulse->silence(now()).value_or(Duration())).count());
  }

  // Its machine still answers for it: the connection stands. Without it the agent ends its engine,
  // as soon as it can.
  void give_up_agent() {
    if (pulse->has_engine()) {
      doubt = fmt::format(
          "its agent on {} {}, so the engine may still run there until {:g} s after that agent has "
          "ended (kill -9 {} there ends it)",
          hello.node, pulse->silence(now()) ? "does not answer" : "has not ended it",
          command.order.stop_timeout.count(), hello.pid);
    }
    if (carrier) carrier->cancel();
    on_lost(pulse->has_order() ? "it does not do as it is told"
                               : fmt::format("it has not answered for {:.0f} s", silent_for()));
  }

  EngineCondition condition() const {
    EngineCondition its;
    if (is_awaited() && !is_queued) {
      its.waits_for = wait_for_agent(Seconds(std::floor(seconds(now() - awaited_since).count())));
    } else if (link && pulse->is_late(now())) {
      its.waits_for = wait_for_end();
    } else if (link && pulse->silence(now()) && !pulse->has_engine()) {
      its.waits_for = wait_for_silent();
    } else if (is_over && carrier && !carrier->condition().empty()) {
      its.waits_for = "waits for the end of what brought its agent: " + carrier->condition();
    }
    if (link && pulse->silence(now()) && pulse->has_engine() && its.waits_for.empty()) {
      its.silence =
          fmt::format("its agent on {} has not answered for {:.0f} s", hello.node, silent_for());
    }
    if (is_gone) its.doubt = doubt;
    return its;
  }

  AgentListener& listener;
  const FarCommand command;
  EngineHooks hooks;
  asio::steady_timer timer;
  asio::steady_timer watch;  // until people are told of its wait; then what its pulse waits for
  RotatingLog log;
  AgentHello hello;
  std::unique_ptr<Carrier> carrier;  // null once it has ended
  std::unique_ptr<AgentLink> link;   // null before it has come, and once it has ended
  std::optional<AgentPulse> pulse;   // since it has come
  TimePoint awaited_since{};         // its time counts
  std::string carriers_node;         // where it was to bring the agent, once it has ended
  std::string last_word;             // of the carrier
  std::string last_of_agent;         // of these, if it is hopeless
  std::string lost;                  // how the connection was lost, until that is told
  std::string doubt;                 // see EngineCondition
  bool is_queued = false;            // the scheduler has no room for it
  bool has_told_wait = false;        // that its agent has not come yet
  bool has_arrived = false;
  bool has_left_nothing = false;  // says its agent
  bool has_ended = false;         // that is told
  bool is_over = false;           // nothing is expected but the carrier's end
  bool is_gone = false;
};

FarEngine::FarEngine(asio::io_context& io, AgentListener& listener, Placement& placement,
                     FarCommand command, EngineHooks hooks)
    : state_(std::make_shared<State>(io, listener, std::move(command), std::move(hooks))) {
  state_->start(placement);
}

FarEngine::~FarEngine() {
  if (state_->is_awaited()) state_->listener.forget(state_->command.call.engine);
  state_->hooks = {};
  state_->timer.cancel();
  state_->watch.cancel();
}

void FarEngine::stop(std::optional<Seconds> grace) {
  state_->stop(grace);
}

void FarEngine::kill() {
  state_->kill();
}

EngineCondition FarEngine::condition() const {
  return state_->condition();
}

}  // namespace batchproxy
