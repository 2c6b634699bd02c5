// launcher/agent/agent_listener.cc - see agent_listener.h.
#include "launcher/agent/agent_listener.h"

#include <array>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "configs/schema/host_port.h"
#include "configs/text/printable.h"
#include "launcher/agent/run_token.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::chrono::seconds kTimeToSayHello{10};
constexpr std::size_t kMostGuests = 1024;
constexpr int kBacklog = 1024;

std::string own_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

// On all addresses, of both kinds where there are two.
void listen_everywhere(tcp::acceptor& acceptor, std::uint16_t port) {
  boost::system::error_code error;
  acceptor.open(tcp::v6(), error);
  if (!error) acceptor.set_option(boost::asio::ip::v6_only(false), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind({tcp::v6(), port}, error);
  if (!error) return;
  acceptor.close();
  acceptor.open(tcp::v4());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind({tcp::v4(), port});
}

void listen_at(tcp::acceptor& acceptor, const HostPort& at) {
  if (!is_address(at.host) || is_wildcard(at.host)) {
    listen_everywhere(acceptor, at.port);
  } else {
    const tcp::endpoint endpoint(asio::ip::make_address(at.host), at.port);
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
  }
  acceptor.listen(kBacklog);
}

}  // namespace

AgentListener::AgentListener(asio::io_context& io, const std::string& listen, std::string token,
                             std::function<void(const std::string&)> remark)
    : acceptor_(io), token_(std::move(token)), remark_(std::move(remark)) {
  auto at = listen.empty() ? std::optional(HostPort{own_name(), 0}) : parse_host_port(listen);
  if (!at) throw std::runtime_error("launcher.agents_listen: '" + listen + "' is not HOST:PORT");
  try {
    listen_at(acceptor_, *at);
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error(
        fmt::format("cannot listen for agents at {} (batchproxy.launcher.agents_listen): {}",
                    to_string(*at), error.code().message()));
  }
  if (is_wildcard(at->host)) at->host = own_name();
  at->port = acceptor_.local_endpoint().port();
  address_ = to_string(*at);
  accept();
}

AgentListener::~AgentListener() = default;

void AgentListener::expect(const std::string& engine, int start, OnAgent on_agent) {
  awaited_.insert_or_assign(engine, Awaited{start, std::move(on_agent)});
}

void AgentListener::forget(const std::string& engine) {
  awaited_.erase(engine);
}

void AgentListener::accept() {
  acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error && guests_.size() < kMostGuests) receive(std::move(socket));
    accept();
  });
}

void AgentListener::receive(tcp::socket socket) {
  boost::system::error_code gone;
  const auto from = socket.remote_endpoint(gone);
  if (gone) return;
  const auto guest =
      guests_.emplace(guests_.end(), nullptr, asio::steady_timer(acceptor_.get_executor()),
                      make_nonce(), from.address().to_string());
  guest->link = std::make_unique<AgentLink>(std::move(socket));
  guest->link->listen({[this, guest](std::string_view text) { hear(guest, text); },
                       [this, guest](const std::string&) { guests_.erase(guest); }});
  guest->link->send(to_text(
      {"challenge", {{"protocol", std::to_string(kAgentProtocol)}, {"nonce", guest->nonce}}}));
  guest->timer.expires_after(kTimeToSayHello);
  guest->timer.async_wait(
      [this, guest, alive = std::weak_ptr(guest->alive)](const boost::system::error_code& error) {
        if (!error && !alive.expired()) guests_.erase(guest);
      });
}

void AgentListener::hear(Guests::iterator guest, std::string_view text) {
  const auto line = parse_agent_line(text);
  const auto hello = line ? read_hello(*line) : std::nullopt;
  if (!hello) {
    guests_.erase(guest);
    return;
  }
  const std::string why = why_not(*guest, *hello);
  if (!why.empty()) return refuse(guest, *hello, why);
  const auto awaited = awaited_.extract(hello->engine);
  guest->link->send(to_text(
      {"welcome",
       {{"proof", make_proof(token_, "batchproxy", hello->claim(), guest->nonce, hello->nonce)}}}));
  ArrivedAgent agent{*hello, std::move(guest->link)};
  agent.link->listen({});  // the guest of the hooks is no more
  guests_.erase(guest);
  awaited.mapped().on_agent(std::move(agent));
}

std::string AgentListener::why_not(const Guest& guest, const AgentHello& hello) const {
  if (hello.protocol != kAgentProtocol) {
    return fmt::format(
        "the agent is batchproxy {} and speaks protocol {}; this batchproxy is {} and speaks {}: "
        "install the same version on the node, or name it in launcher.agent_program. {}",
        hello.version.empty() ? "of an unknown version" : hello.version, hello.protocol,
        BATCHPROXY_VERSION, kAgentProtocol, kHopeless);
  }
  if (!same_proof(hello.proof,
                  make_proof(token_, "agent", hello.claim(), guest.nonce, hello.nonce))) {
    return fmt::format(
        "the agent does not have the token of this run: end it on its node if it belongs to "
        "another "
        "or an earlier batchproxy; else let exec_command pass on {} and the standard input as they "
        "are. {}",
        kAgentTokenVariable, kHopeless);
  }
  const auto awaited = awaited_.find(hello.engine);
  if (awaited == awaited_.end()) {
    return fmt::format("no agent is awaited for {} now", hello.engine);
  }
  if (awaited->second.start != hello.start) {
    return fmt::format("the agent is for start {} of {}, and start {} is awaited", hello.start,
                       hello.engine, awaited->second.start);
  }
  return {};
}

void AgentListener::refuse(Guests::iterator guest, const AgentHello& hello,
                           const std::string& why) {
  const std::string who = fmt::format("from {} (node {}, {})", guest->from, printable(hello.node),
                                      printable(hello.engine));
  const std::string news = refusals_.tell(who, why, std::chrono::steady_clock::now());
  if (!news.empty()) remark_(news);
  guest->link->listen({nullptr, [this, guest](const std::string&) { guests_.erase(guest); }});
  guest->link->send(to_text({"refused", {{"text", why}}}));
  guest->link->finish();
}

}  // namespace batchproxy
