// launcher/agent/agent_link.h - AgentLink: one end of the connection between a batchproxy and an
// agent: lines in, lines out, and the end of it.
//
// A peer whose machine has vanished is noticed after some ten seconds, whether or not there is
// anything to say.
//
// Threading: confined to the executor's one thread; hooks are called there, never from inside a
// call into this class, and not after the destructor.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ip/tcp.hpp>

namespace batchproxy {

class AgentLink {
 public:
  struct Hooks {
    std::function<void(std::string_view line)> on_line;  // without its newline
    // Once, and last: "Connection reset by peer", "the other side has closed the connection".
    std::function<void(const std::string& why)> on_closed;
  };

  // Longer lines end the connection.
  static constexpr std::size_t kLongestLine = 1 << 20;

  explicit AgentLink(boost::asio::ip::tcp::socket socket);
  // Closes it; what send() has not yet sent is lost.
  ~AgentLink();

  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  // From now on these are told. Call it before anything is expected, and again to hand it on.
  void listen(Hooks hooks);

  // `line` with its newline.
  void send(std::string line);
  // Bytes that wait to be sent.
  std::size_t unsent() const;
  // Nothing more will be sent: once all is, the connection is closed, and on_closed() follows.
  void finish();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace batchproxy
