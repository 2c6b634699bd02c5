// launcher/placement/far_engine.cc - see far_engine.h.
#include "launcher/placement/far_engine.h"

#include <chrono>
#include <cmath>
#include <ctime>
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
// Beyond its stop time-out, for an agent that has heard what to do and does not do it.
constexpr Seconds kAgentGrace{15};

// "13:05:10", as the log writes it.
std::string clock_in(Seconds time) {
  const std::time_t then = std::time(nullptr) + std::llround(time.count());
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
        patience(io) {}

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
  void after(asio::steady_timer& its_timer, Seconds time, Function function) {
    its_timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(time));
    its_timer.async_wait(
        [weak = weak_from_this(), function](const boost::system::error_code& error) {
          const auto self = weak.lock();
          if (self && !error) function(*self);
        });
  }
  template <class Function>
  void after(Seconds time, Function function) {
    after(timer, time, function);
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
    after(command.agent_timeout, [](State& self) {
      self.give_up(fmt::format(
          "no agent has come within {:g} s (launcher.agent_timeout){}",
          self.command.agent_timeout.count(),
          self.last_word.empty() ? "" : "; the last that was said of it: " + self.last_word));
    });
  }

  // Once in a start: a carrier may hang without a word.
  void tell_of_wait() {
    if (command.patience >= command.agent_timeout) return;
    after(patience, command.patience, [](State& self) {
      if (!self.is_awaited()) return;
      self.has_told_wait = true;
      self.tell_delay(self.what_it_waits_for());
    });
  }

  std::string what_it_waits_for() const {
    if (is_queued) return "waits for a node: " + last_word;
    const std::string node = carrier ? carrier->node() : "";
    const std::string condition = carrier ? carrier->condition() : "";
    return fmt::format("waits for its agent{}: {}{:g} s of agent_timeout ({:g} s) are over{}",
                       node.empty() ? "" : " on " + node, condition.empty() ? "" : condition + ", ",
                       command.patience.count(), command.agent_timeout.count(),
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
    patience.cancel();
    hello = std::move(agent.hello);
    link = std::move(agent.link);
    link->listen({weakly([](State& self, std::string_view line) { self.on_line(line); }),
                  weakly([](State& self, const std::string& why) { self.on_lost(why); })});
    link->send(to_text(to_line(command.order)));
    stage("its agent is on " + hello.node);
  }

  // --- there ----------------------------------------------------------------------------------

  void on_line(std::string_view text) {
    if (std::exchange(is_unanswered, false)) await_end();
    const auto line = parse_agent_line(text);
    const auto news = line ? read_news(*line) : std::nullopt;
    if (news) std::visit([this](const auto& one) { on_news(one); }, *news);
  }

  void on_news(const agent_news::Stage& news) { stage(hello.node + ": " + news.text); }
  void on_news(const agent_news::Log& news) { log.write(news.text); }
  void on_news(const agent_news::Placed& news) {
    const HostPort address{hello.address, static_cast<std::uint16_t>(news.port)};
    call_hook(hooks.on_placed, EnginePlace{address, hello.node, news.devices});
  }
  void on_news(const agent_news::Started& news) { call_hook(hooks.on_started, pid_t{news.pid}); }
  void on_news(const agent_news::Ended& news) {
    end({.how = news.how + " (on " + hello.node + ")", .exit_code = news.code, .node = hello.node});
  }
  void on_news(const agent_news::Gone& /*news*/) {}  // the end of the connection follows

  void on_lost(const std::string& why) {
    link.reset();
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
    patience.cancel();
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
    patience.cancel();
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

  // Whatever it says next shows that it has heard; then it has `time` to do it.
  void order(const AgentLine& line, Seconds time) {
    link->send(to_text(line));
    time_for_order = time;
    if (std::exchange(is_unanswered, true)) return;
    insist_after(command.answer_time);
    tell_of_silence(command.answer_time, command.patience, "does not answer");
  }

  // An agent that hangs, but whose machine does not.
  void insist_after(Seconds time) {
    after(time, [](State& self) {
      if (!self.link) return;
      self.tell_delay(
          fmt::format("waits no longer for its agent on {}; what still runs there ends "
                      "before its next start does",
                      self.hello.node));
      if (self.carrier) self.carrier->cancel();
      self.on_lost("it does not do as it is told");
    });
  }

  // It has heard.
  void await_end() {
    const Seconds until = time_for_order + kAgentGrace;
    insist_after(until);
    tell_of_silence(until, time_for_order + command.patience, "has not ended its engine");
  }

  // In `from_now`, unless it has come to its end.
  void tell_of_silence(Seconds until, Seconds from_now, const char* what) {
    if (from_now >= until) return;
    after(patience, from_now, [what, clock = clock_in(until)](State& self) {
      if (!self.link) return;
      self.tell_delay(fmt::format("waits for its agent on {}, which {}: until {}", self.hello.node,
                                  what, clock));
    });
  }

  AgentListener& listener;
  const FarCommand command;
  EngineHooks hooks;
  asio::steady_timer timer;
  asio::steady_timer patience;  // until people are told that something takes long
  RotatingLog log;
  AgentHello hello;
  std::unique_ptr<Carrier> carrier;  // null once it has ended
  std::unique_ptr<AgentLink> link;   // null before it has come, and once it has ended
  std::string carriers_node;         // where it was to bring the agent, once it has ended
  std::string last_word;             // of the carrier
  std::string last_of_agent;         // of these, if it is hopeless
  Seconds time_for_order{};          // that was given last
  std::string lost;                  // how the connection was lost, until that is told
  bool is_queued = false;            // the scheduler has no room for it
  bool has_told_wait = false;        // that its agent has not come yet
  bool is_unanswered = false;        // an order was given, and nothing heard since
  bool has_arrived = false;
  bool has_ended = false;  // that is told
  bool is_over = false;    // nothing is expected but the carrier's end
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
  state_->patience.cancel();
}

void FarEngine::stop(std::optional<Seconds> grace) {
  state_->stop(grace);
}

void FarEngine::kill() {
  state_->kill();
}

}  // namespace batchproxy
