// tests/launcher/agent/scripted_agent.h - ScriptedAgent: the other end of an AgentListener, which
// says what a test has it say.
//
// Threading: confined to the io_context's one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "configs/schema/host_port.h"
#include "launcher/agent/agent_link.h"
#include "launcher/agent/agent_protocol.h"
#include "launcher/agent/run_token.h"

namespace batchproxy {

class ScriptedAgent {
 public:
  // Connects to `address`, "127.0.0.1:…".
  ScriptedAgent(boost::asio::io_context& io, const std::string& address) {
    const HostPort at = parse_host_port(address).value();
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address(at.host), at.port});
    link_ = std::make_unique<AgentLink>(std::move(socket));
    link_->listen(
        {[this](std::string_view text) { heard_.push_back(parse_agent_line(text).value()); },
         [this](const std::string&) { closed_ = true; }});
  }

  // Answers the challenge, which must have come. `hello` needs no proof.
  void say_hello(AgentHello hello, const std::string& token) {
    hello.nonce = make_nonce();
    hello.proof = make_proof(token, "agent", hello.claim(), heard_.front()["nonce"], hello.nonce);
    said_ = hello;
    say(to_line(hello));
  }

  void say(const AgentLine& line) { link_->send(to_text(line)); }
  void say_raw(const std::string& text) { link_->send(text); }
  // As if it were killed.
  void vanish() {
    link_.reset();
    closed_ = true;
  }

  const std::vector<AgentLine>& heard() const { return heard_; }
  // The words of the lines so far.
  std::string words() const {
    std::string words;
    for (const AgentLine& line : heard_) words += (words.empty() ? "" : " ") + line.word;
    return words;
  }
  bool is_closed() const { return closed_; }
  const AgentHello& said() const { return said_; }

 private:
  std::unique_ptr<AgentLink> link_;
  std::vector<AgentLine> heard_;
  AgentHello said_;
  bool closed_ = false;
};

inline AgentHello hello_of(const std::string& engine, int start) {
  AgentHello hello;
  hello.engine = engine;
  hello.start = start;
  hello.version = "9.9.9";
  hello.node = "n1";
  hello.address = "127.0.0.1";
  hello.pid = 4711;
  return hello;
}

// Runs the loop until `condition`; false when that has not come within a minute.
template <class Condition>
bool run_until(boost::asio::io_context& io, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(100));
  }
  return true;
}

}  // namespace batchproxy
