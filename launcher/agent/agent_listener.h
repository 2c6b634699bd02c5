// launcher/agent/agent_listener.h - AgentListener: takes the agents that connect to us, and hands
// each to whoever awaits it.
//
// An agent must prove within ten seconds that it knows the token of this run (see run_token.h), and
// must be of our protocol. All others are told why not, and so are we: once a minute for the same
// reason.
//
// Threading: confined to the io_context's one thread, callbacks included.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "launcher/agent/agent_link.h"
#include "launcher/agent/agent_protocol.h"
#include "launcher/agent/refusals.h"

namespace batchproxy {

// An agent that has shown who it is.
struct ArrivedAgent {
  AgentHello hello;
  std::unique_ptr<AgentLink> link;  // never null; the agent waits for its order
};

class AgentListener {
 public:
  // `listen`: HOST:PORT as agents are to reach us; empty for this machine's name and any port. A
  // name is listened for on all addresses. `remark` is told of agents that are refused, in
  // sentences. Throws std::runtime_error when the address is not to be had.
  AgentListener(boost::asio::io_context& io, const std::string& listen, std::string token,
                std::function<void(const std::string&)> remark);
  ~AgentListener();

  AgentListener(const AgentListener&) = delete;
  AgentListener& operator=(const AgentListener&) = delete;

  // "HOST:PORT", for agents.
  const std::string& address() const { return address_; }
  const std::string& token() const { return token_; }

  // The agent for that start of the engine is handed to `on_agent`, once, from the event loop. Who
  // awaited an earlier start of it awaits no more.
  using OnAgent = std::function<void(ArrivedAgent)>;
  void expect(const std::string& engine, int start, OnAgent on_agent);
  // It is awaited no more.
  void forget(const std::string& engine);

 private:
  struct Guest {
    std::unique_ptr<AgentLink> link;
    boost::asio::steady_timer timer;
    std::string nonce;
    std::string from;  // its address
    std::shared_ptr<bool> alive = std::make_shared<bool>();
  };
  using Guests = std::list<Guest>;

  struct Awaited {
    int start;
    OnAgent on_agent;
  };

  void accept();
  void receive(boost::asio::ip::tcp::socket socket);
  void hear(Guests::iterator guest, std::string_view text);
  // Why that agent may not come in; empty when it may.
  std::string why_not(const Guest& guest, const AgentHello& hello) const;
  void refuse(Guests::iterator guest, const AgentHello& hello, const std::string& why);

  boost::asio::ip::tcp::acceptor acceptor_;
  const std::string token_;
  const std::function<void(const std::string&)> remark_;
  std::string address_;
  Guests guests_;  // that have not yet shown who they are
  std::map<std::string, Awaited> awaited_;
  Refusals refusals_;
};

}  // namespace batchproxy
