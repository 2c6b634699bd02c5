// tests/backends/port_holder_test.cc - who holds a port, found out with a real one.
#include "backends/net/port_holder.h"

#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy {
namespace {

namespace asio = boost::asio;

TEST(PortHolder, NamesTheProcessThatListens) {
  for (const auto& protocol : {asio::ip::tcp::v4(), asio::ip::tcp::v6()}) {
    asio::io_context io;
    boost::system::error_code error;
    asio::ip::tcp::acceptor acceptor(io);
    acceptor.open(protocol, error);
    if (error) continue;  // no IPv6 here
    acceptor.bind({protocol, 0});
    acceptor.listen();
    EXPECT_EQ(port_holder(acceptor.local_endpoint().port()),
              "backends_tests (pid " + std::to_string(::getpid()) + ")");
  }
}

TEST(PortHolder, SaysNothingOfAPortThatIsFreeOrMerelyBound) {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io);
  acceptor.open(asio::ip::tcp::v4());
  acceptor.bind({asio::ip::tcp::v4(), 0});
  const std::uint16_t port = acceptor.local_endpoint().port();
  EXPECT_EQ(port_holder(port), "");
  acceptor.close();
  EXPECT_EQ(port_holder(port), "");
}

TEST(PortHolder, SaysNothingWhenItCannotLook) {
  EXPECT_EQ(port_holder(80, "/nonexistent"), "");
}

}  // namespace
}  // namespace batchproxy
