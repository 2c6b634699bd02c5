// launcher/placement/far_engine.cc - see far_engine.h.
#include "launcher/placement/far_engine.h"

#include <chrono>
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
// Beyond its stop time-out, for an agent that does not do as it is told.
constexpr Seconds kAgentGrace{15};

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
        timer(io) {}

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
  void after(Seconds time, Function function) {
    timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(time));
    timer.async_wait([weak = weak_from_this(), function](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (self && !error) function(*self);
    });
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
  }

  void stage(const std::string& text) { call_hook(hooks.on_stage, text); }

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

  void on_word(std::string_view line) {
    log.write(fmt::format("[placement] {}\n", line));
    if (!is_awaited()) return;
    last_word = line;
    stage("on its way: " + last_word);
    await_agent();
  }

  void on_waiting(const std::string& why) {
    if (!is_awaited()) return;
    last_word = why;
    timer.cancel();
    stage("waits for a node: " + why);
  }

  void give_up(const std::string& why) {
    listener.forget(command.call.engine);
    end(why);
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
    stage("its agent is on " + hello.node);
  }

  // --- there ----------------------------------------------------------------------------------

  void on_line(std::string_view text) {
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
    end(news.how + " (on " + hello.node + ")", news.code);
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
    end(lost);
    await_carrier();
  }

  // --- over -----------------------------------------------------------------------------------

  void end(const std::string& how, std::optional<int> code = std::nullopt) {
    if (std::exchange(has_ended, true)) return;
    call_hook(hooks.on_exited, EngineEnd{how, code});
  }

  void await_carrier() {
    is_over = true;
    if (!carrier) return look_whether_gone();
    carrier->expect_end();
    after(kCarrierGrace, [](State& self) {
      if (self.carrier) self.carrier->cancel();
    });
  }

  void on_carrier(const std::string& how) {
    const auto ended = std::exchange(carrier, nullptr);
    log.write(fmt::format("[placement] {}\n", how));
    if (is_awaited()) return give_up("its agent has not come: " + how);
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
    call_hook(hooks.on_gone);
  }

  // --- orders ---------------------------------------------------------------------------------

  void stop(std::optional<Seconds> grace) {
    if (!link) return stop_unplaced();
    AgentLine line{"stop"};
    if (grace) line.fields.emplace_back("grace", fmt::format("{}", grace->count()));
    link->send(to_text(line));
    insist_after(grace.value_or(command.order.stop_timeout) + kAgentGrace);
  }

  void kill() {
    if (link) {
      link->send(to_text({"kill"}));
      return insist_after(kAgentGrace);
    }
    stop_unplaced();
    if (carrier) carrier->kill();
  }

  void stop_unplaced() {
    if (!is_awaited()) return;
    is_over = true;
    listener.forget(command.call.engine);
    if (carrier) carrier->cancel();
    asio::post(timer.get_executor(), weakly([](State& self) {
                 self.end("stopped before its agent had come");
                 self.look_whether_gone();
               }));
  }

  // An agent that does not answer, but whose machine does.
  void insist_after(Seconds time) {
    after(time, [](State& self) {
      if (!self.link) return;
      if (self.carrier) self.carrier->cancel();
      self.on_lost("it does not do as it is told");
    });
  }

  AgentListener& listener;
  const FarCommand command;
  EngineHooks hooks;
  asio::steady_timer timer;
  RotatingLog log;
  AgentHello hello;
  std::unique_ptr<Carrier> carrier;  // null once it has ended
  std::unique_ptr<AgentLink> link;   // null before it has come, and once it has ended
  std::string last_word;             // of the carrier
  std::string lost;                  // how the connection was lost, until that is told
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
}

void FarEngine::stop(std::optional<Seconds> grace) {
  state_->stop(grace);
}

void FarEngine::kill() {
  state_->kill();
}

}  // namespace batchproxy
