// launcher/agent/agent.cc - see agent.h.
#include "launcher/agent/agent.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "configs/schema/host_port.h"
#include "configs/sources/environment.h"
#include "configs/text/number.h"
#include "launcher/agent/agent_link.h"
#include "launcher/agent/agent_protocol.h"
#include "launcher/agent/node_gpus.h"
#include "launcher/agent/run_token.h"
#include "launcher/plan/command_line.h"
#include "launcher/plan/executable.h"
#include "launcher/process/engine_process.h"
#include "launcher/process/lease.h"
#include "launcher/process/port_allocator.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr Seconds kTimeToConnect{20};
constexpr Seconds kLookAgain{0.1};
// Beyond its stop time-out, what an earlier start of the engine may take to go.
constexpr Seconds kEarlierGrace{10};
constexpr Seconds kTimeToTell{5};  // the last lines
// Of the engine's output on its way; more is left in the pipe.
constexpr std::size_t kMostUnsent = 1 << 20;
constexpr int kFailure = 1;
constexpr int kUsage = 2;

constexpr const char* kHelp =
    R"(Runs one engine on this node for a batchproxy on another machine.

You need not start it: batchproxy does, by what launcher.placement says (srun, a Ray job,
or launcher.exec_command, such as ssh). It connects to that batchproxy, is told what to
run, and ends its engine when the connection ends. See docs/PLACEMENT.md.

Usage: batchproxy engine-agent --proxy HOST:PORT --engine NAME --start N [OPTIONS]

  --proxy HOST:PORT   Where the batchproxy awaits its agents: its launcher.agents_listen
  --engine NAME       The engine that is wanted, such as engine-0
  --start N           Which start of that engine it is, from 1: a late agent is refused
  --address IP        Where the engine is to listen; default: the address of this node by
                      which the agent reaches the batchproxy
  --node NAME         What to call this node; default: Slurm's name for it, or its host name

It must have the token of the run, which batchproxy gives to what it starts: in
BATCHPROXY_AGENT_TOKEN, or else as the first line of the standard input.

An exec_command of yours, in which {agent} becomes that line:
  [ssh, node1, "HF_HOME=/data/hf {agent}"]
What batchproxy would start is told by `batchproxy --config FILE --dry-run`:
  ssh node1 'batchproxy engine-agent --proxy login1:7000 --engine engine-0 --start 1'
)";

struct AgentArguments {
  std::string proxy;  // as it is given
  HostPort at{};
  std::string engine{};
  int start = 0;
  std::string address{};  // empty: that by which we reach the batchproxy
  std::string node{};
};

std::string own_node(const Environment& environment) {
  const auto of_slurm = environment.find("SLURMD_NODENAME");
  if (of_slurm != environment.end()) return of_slurm->second;
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::optional<AgentArguments> parse_arguments(int argc, char** argv) {
  AgentArguments arguments;
  for (int next = 1; next < argc; next += 2) {
    if (next + 1 == argc) return std::nullopt;
    const std::string_view name = argv[next];
    const std::string_view value = argv[next + 1];
    bool good = false;
    if (name == "--proxy") {
      const auto at = parse_host_port(value);
      good = at && at->port != 0;
      if (good) arguments.proxy = value, arguments.at = *at;
    }
    if (name == "--engine") good = !(arguments.engine = value).empty();
    if (name == "--start") good = (arguments.start = number_in<int>(value).value_or(0)) > 0;
    if (name == "--address") good = is_address(arguments.address = value);
    if (name == "--node") good = !(arguments.node = value).empty();
    if (!good) return std::nullopt;
  }
  const bool is_whole =
      !arguments.proxy.empty() && !arguments.engine.empty() && arguments.start > 0;
  return is_whole ? std::optional(arguments) : std::nullopt;
}

// Of the environment, from which it is taken, or else of the standard input.
std::string take_token(Environment& environment) {
  const auto variable = environment.find(kAgentTokenVariable);
  if (variable != environment.end()) {
    std::string token = variable->second;
    environment.erase(variable);
    ::unsetenv(kAgentTokenVariable);
    return token;
  }
  std::string token;
  if (::isatty(STDIN_FILENO) == 0) std::getline(std::cin, token);
  return token;
}

std::string self_program() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

class Agent {
 public:
  Agent(AgentArguments arguments, Environment environment, std::string token)
      : arguments_(std::move(arguments)),
        environment_(std::move(environment)),
        token_(std::move(token)),
        resolver_(io_),
        socket_(io_),
        timer_(io_),
        output_(io_),
        signals_(io_, SIGTERM, SIGINT, SIGHUP) {}

  int run() {
    await_signal();
    connect();
    io_.run();
    return status_;
  }

 private:
  template <class Function>
  void after(Seconds time, Function function) {
    timer_.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(time));
    timer_.async_wait([function](const boost::system::error_code& error) {
      if (!error) function();
    });
  }

  // The end: there is no engine, or none any more.
  void leave(int status, const std::string& why = {}) {
    if (!why.empty()) {
      std::fprintf(stderr, "engine-agent: %s (on %s)\n", why.c_str(), arguments_.node.c_str());
    }
    status_ = status;
    io_.stop();
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      await_signal();
      if (!process_) return leave(kFailure, "it was told to end before the engine ran");
      process_->stop();
    });
  }

  // --- to the batchproxy ----------------------------------------------------------------------

  void connect() {
    after(kTimeToConnect, [this] { no_way("no answer"); });
    resolver_.async_resolve(
        arguments_.at.host, std::to_string(arguments_.at.port),
        [this](const boost::system::error_code& error, const tcp::resolver::results_type& found) {
          if (error) return no_way(error.message());
          asio::async_connect(socket_, found,
                              [this](const boost::system::error_code& failed, const auto&) {
                                if (failed) return no_way(failed.message());
                                begin();
                              });
        });
  }

  void no_way(const std::string& why) {
    leave(kFailure,
          fmt::format("cannot reach batchproxy at {}: {}. It must be an address that this node can "
                      "reach: see launcher.agents_listen",
                      arguments_.proxy, why));
  }

  void begin() {
    boost::system::error_code gone;
    const tcp::endpoint own = socket_.local_endpoint(gone);
    if (gone) return no_way(gone.message());
    if (arguments_.address.empty()) arguments_.address = own.address().to_string();
    link_ = std::make_unique<AgentLink>(std::move(socket_));
    link_->listen({[this](std::string_view text) { hear(text); },
                   [this](const std::string& why) { lose_batchproxy(why); }});
  }

  void hear(std::string_view text) {
    const auto line = parse_agent_line(text);
    if (!line) return;
    if (line->word == "challenge") return introduce(*line);
    if (line->word == "refused") {
      return leave(kFailure,
                   fmt::format("batchproxy at {} refuses: {}", arguments_.proxy, (*line)["text"]));
    }
    if (line->word == "welcome") return check_welcome(*line);
    if (!is_welcome_) return;
    if (line->word == "ping") tell(agent_news::Pong{});
    if (line->word == "start" && !is_told_) return take_order(*line);
    // Its batchproxy waits no longer for one that does not answer than for one that is gone.
    if (line->word == "stop" || line->word == "kill") tell(agent_news::Stage{"ends"});
    if (line->word == "stop" && process_) {
      const auto grace = number_in<double>((*line)["grace"]);
      process_->stop(grace ? std::optional(Seconds(*grace)) : std::nullopt);
    } else if (line->word == "stop") {
      end("stopped before it ran");
    }
    if (line->word == "kill" && process_) process_->kill();
    if (line->word == "kill" && !process_) end("killed before it ran");
  }

  void introduce(const AgentLine& challenge) {
    batchproxys_nonce_ = challenge["nonce"];
    hello_.engine = arguments_.engine;
    hello_.start = arguments_.start;
    hello_.version = BATCHPROXY_VERSION;
    hello_.node = arguments_.node;
    hello_.address = arguments_.address;
    hello_.pid = ::getpid();
    hello_.nonce = make_nonce();
    hello_.proof = make_proof(token_, "agent", hello_.claim(), batchproxys_nonce_, hello_.nonce);
    link_->send(to_text(to_line(hello_)));
  }

  // Whoever listens there now need not be who sent us.
  void check_welcome(const AgentLine& line) {
    const std::string proof =
        make_proof(token_, "batchproxy", hello_.claim(), batchproxys_nonce_, hello_.nonce);
    if (hello_.nonce.empty() || !same_proof(line["proof"], proof)) {
      return leave(kFailure, "who listens at " + arguments_.proxy +
                                 " does not have the token of the run that sent this agent");
    }
    is_welcome_ = true;
    timer_.cancel();
  }

  // The batchproxy has died, or the network has: the engine serves nobody any more.
  void lose_batchproxy(const std::string& why) {
    link_.reset();
    if (!process_) return leave(kFailure, "the connection to batchproxy is lost: " + why);
    process_->stop();
  }

  void tell(const AgentNews& news) {
    if (link_) link_->send(to_text(to_line(news)));
  }

  // --- before the engine runs -----------------------------------------------------------------

  void take_order(const AgentLine& line) {
    is_told_ = true;
    auto order = read_order(line);
    if (!order) return end("its batchproxy's order cannot be read");
    order_ = *std::move(order);
    earlier_until_ = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                         order_.stop_timeout + kEarlierGrace);
    start_when_alone();
  }

  // The shim holds it for as long as anything of the engine is left, whatever becomes of its agent.
  void start_when_alone() {
    const std::string name =
        "engine-" + make_proof(token_, "lease", arguments_.engine, "", "").substr(0, 32);
    lease_ = Lease::take(name);
    if (lease_) return start_engine();
    if (std::chrono::steady_clock::now() >= earlier_until_) {
      return end(fmt::format(
          "an earlier run of it has not ended on this node. What hangs there is its agent, or the "
          "engine: `pgrep -af -- '--engine {} '` finds the agent, and kill -9 ends both",
          arguments_.engine));
    }
    tell(agent_news::Stage{"waits until its last run has ended there"});
    after(kLookAgain, [this] { start_when_alone(); });
  }

  void start_engine() {
    auto gpus =
        choose_node_gpus(order_.gpus, environment_, [this] { return visible_gpus(environment_); });
    if (!gpus) return end(gpus.error().text);
    gpus_ = *std::move(gpus);
    ports_.emplace(order_.port_base, PortAllocator::Where::kEverywhere);
    const auto port = ports_->take();
    if (!port) return end(port.error().text);
    EngineCommand command;
    command.shim_executable = self_program();
    for (const std::string& word : order_.argv) {
      command.argv.push_back(fill_place(word, arguments_.address, *port, gpus_.devices));
    }
    command.environment = engines_environment();
    const auto path = command.environment.find("PATH");
    const auto program = find_executable(
        command.argv.front(), path == command.environment.end() ? std::string() : path->second);
    if (!program) {
      return end("`" + command.argv.front() +
                 "` was not found there, or cannot be run: install it on the node, or correct "
                 "batchproxy.launcher.executable or agent_program");
    }
    command.argv.front() = *program;
    command.stop_timeout = order_.stop_timeout;
    command.held = {lease_->descriptor()};
    for (const Lease& lease : gpus_.leases) command.held.push_back(lease.descriptor());
    tell(agent_news::Placed{*port, gpus_.devices});
    spawn(command);
  }

  Environment engines_environment() const {
    const auto marker = order_.set.find(kEngineMarker);
    EnvironmentChanges changes = engine_environment(
        {}, marker == order_.set.end() ? arguments_.engine : marker->second, environment_);
    for (const auto& [name, value] : order_.set) changes.set[name] = value;
    changes.unset.insert(changes.unset.end(), order_.unset.begin(), order_.unset.end());
    if (!gpus_.leases.empty()) {
      changes.set["CUDA_VISIBLE_DEVICES"] = gpus_.devices;
      changes.set["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
    }
    return changed_environment(environment_, changes);
  }

  void spawn(EngineCommand& command) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return end("no pipe for its output");
    Descriptor ours(pipe[0]), its(pipe[1]);
    ::fcntl(its.get(), F_SETPIPE_SZ, static_cast<int>(kMostUnsent));
    ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    command.output = its.get();
    process_ = std::make_unique<EngineProcess>(
        io_.get_executor(), EngineHooks{[this](pid_t pid) { tell(agent_news::Started{pid}); },
                                        [this](const EngineEnd& its_end) {
                                          drain_output();
                                          tell(agent_news::Ended{its_end.how, its_end.exit_code});
                                        },
                                        [this] { on_gone(); }});
    if (const auto problem = process_->start(command)) {
      process_.reset();
      return end(*problem);
    }
    output_.assign(ours.release());
    read_output();
  }

  // --- while it runs --------------------------------------------------------------------------

  void read_output() {
    if (link_ && link_->unsent() > kMostUnsent) {
      return after(kLookAgain, [this] { read_output(); });
    }
    output_.async_read_some(asio::buffer(bytes_),
                            [this](const boost::system::error_code& error, std::size_t count) {
                              if (error) return;
                              tell(agent_news::Log{std::string(bytes_.data(), count)});
                              read_output();
                            });
  }

  // What it wrote before it ended is told before that.
  void drain_output() {
    if (!output_.is_open()) return;
    for (;;) {
      const ssize_t count = ::read(output_.native_handle(), bytes_.data(), bytes_.size());
      if (count <= 0) return;
      tell(agent_news::Log{std::string(bytes_.data(), static_cast<std::size_t>(count))});
    }
  }

  void on_gone() {
    drain_output();
    say_goodbye(0);
  }

  // No engine runs, and none will.
  void end(const std::string& why) {
    tell(agent_news::Ended{why});
    say_goodbye(kFailure);
  }

  void say_goodbye(int status) {
    if (!link_) return leave(status);
    tell(agent_news::Gone{});
    link_->listen({nullptr, [this, status](const std::string&) { leave(status); }});
    link_->finish();
    after(kTimeToTell, [this, status] { leave(status); });
  }

  AgentArguments arguments_;
  Environment environment_;
  const std::string token_;
  asio::io_context io_{1};
  tcp::resolver resolver_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  asio::posix::stream_descriptor output_;
  asio::signal_set signals_;
  std::unique_ptr<AgentLink> link_;  // null before it is made, and once it is lost
  std::string batchproxys_nonce_;
  AgentHello hello_;
  AgentOrder order_;
  bool is_welcome_ = false;  // it has shown that it is ours
  bool is_told_ = false;     // what to run
  std::chrono::steady_clock::time_point earlier_until_;
  std::optional<Lease> lease_;
  NodeGpus gpus_;
  std::optional<PortAllocator> ports_;
  std::unique_ptr<EngineProcess> process_;
  std::array<char, 16 * 1024> bytes_;
  int status_ = kFailure;
};

}  // namespace

int run_agent(int argc, char** argv) {
  const auto asks_for_help = [](const char* word) {
    return std::string_view(word) == "--help" || std::string_view(word) == "-h";
  };
  if (std::any_of(argv + 1, argv + argc, asks_for_help)) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  auto arguments = parse_arguments(argc, argv);
  if (!arguments) {
    std::fprintf(
        stderr,
        "engine-agent: expected --proxy HOST:PORT --engine NAME --start N; see `batchproxy "
        "engine-agent --help`\n");
    return kUsage;
  }
  std::signal(SIGPIPE, SIG_IGN);
  Environment environment = process_environment();
  if (arguments->node.empty()) arguments->node = own_node(environment);
  std::string token = take_token(environment);
  if (token.empty()) {
    std::fprintf(
        stderr,
        "engine-agent: no token of the run: neither %s nor the standard input has one. What "
        "brings the agent to its node must pass on one of them. %s\n",
        kAgentTokenVariable, std::string(kHopeless).c_str());
    return kFailure;
  }
  return Agent(*std::move(arguments), std::move(environment), std::move(token)).run();
}

}  // namespace batchproxy
