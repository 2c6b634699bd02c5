// tests/proxy/listener_test.cc - how a listening socket closes without resetting anybody.
#include "proxy/edge/listener.h"

#include <array>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Client = asio::ip::tcp::socket;

struct Listening {
  asio::io_context io;
  Acceptor acceptor{listen_on(io, "127.0.0.1:0", "--listen", [](std::uint16_t) { return true; })};
  asio::ip::tcp::endpoint at = acceptor.local_endpoint();
  bool closed = false;

  void stop() {
    asio::co_spawn(io, stop_accepting(io, acceptor), [this](std::exception_ptr) { closed = true; });
  }
  // Lets the waits of stop_accepting() pass, some times.
  void let_it_look(int times) {
    while (times-- > 0 && !closed) io.run_one();
  }
};

TEST(Listener, StaysOpenUntilThoseWhoHaveConnectedAreAccepted) {
  Listening listening;
  Client early(listening.io);
  early.connect(listening.at);
  listening.stop();
  listening.let_it_look(4);
  ASSERT_FALSE(listening.closed);

  auto accepted = listening.acceptor.accept();
  listening.io.run();
  EXPECT_TRUE(listening.closed);
  EXPECT_FALSE(listening.acceptor.is_open());
  const std::array<char, 2> bytes = {'h', 'i'};
  EXPECT_EQ(early.send(asio::buffer(bytes)), 2u);
  EXPECT_EQ(accepted.available(), 2u);
}

// Its handshake would end in the backlog of a socket that closes, and the client would be reset.
TEST(Listener, LetsNobodyBeginToConnectWhileItCloses) {
  Listening listening;
  Client first(listening.io);  // keeps the listener open
  first.connect(listening.at);
  listening.stop();
  listening.let_it_look(2);

  Client late(listening.io);
  std::optional<ErrorCode> connected;
  late.async_connect(listening.at, [&](const ErrorCode& error) { connected = error; });
  listening.let_it_look(4);
  EXPECT_FALSE(connected.has_value());
  EXPECT_FALSE(listening.closed);

  // The other one is still served.
  auto accepted = listening.acceptor.accept();
  while (!listening.closed) listening.io.run_one();
  EXPECT_FALSE(connected.has_value());
}

}  // namespace
}  // namespace batchproxy
