// tests/backends/connection_test.cc - what a connection notices, and when it lets go.
#include "backends/net/connection.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {
namespace {

// The event loop runs only where a test says so: what has come is not always noticed yet.
class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    connection_ = std::make_shared<Connection>(*poller_, deadlines_);
    EXPECT_FALSE(connection_->start(ends[0]));
    peer_ = ends[1];
  }
  ~ConnectionTest() override {
    if (connection_) connection_->close();
    ::close(peer_);
    notice();
  }

  void send(std::string_view bytes) const {
    EXPECT_EQ(::write(peer_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void notice() {
    io_.restart();
    io_.poll();
  }
  std::optional<std::size_t> read(std::size_t room) {
    std::array<char, 16> into{};
    return connection_->read_some(std::span(into).first(room));
  }

  // What the peer has been sent, up to `room` bytes.
  std::string peer_reads(std::size_t room) const {
    std::string bytes(room, 0);
    const ssize_t n = ::recv(peer_, bytes.data(), room, MSG_DONTWAIT);
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return bytes;
  }

  asio::io_context io_;
  DeadlineQueue deadlines_{io_};
  std::unique_ptr<Poller> poller_ = std::make_unique<Poller>(io_);
  Connection::Ptr connection_;
  int peer_ = -1;
};

// More than a socket takes at once.
const std::string kMuch(4u << 20, 'm');

TEST_F(ConnectionTest, KnowsOfBytesThatThePollerHasSeen) {
  EXPECT_FALSE(connection_->has_unread());
  send("x");
  notice();
  EXPECT_TRUE(connection_->has_unread());
  EXPECT_EQ(read(16), 1u);
  EXPECT_FALSE(connection_->has_unread());
}

TEST_F(ConnectionTest, KnowsOfAnEndThatThePollerHasSeen) {
  ::shutdown(peer_, SHUT_WR);
  notice();
  EXPECT_TRUE(connection_->has_unread());
}

TEST_F(ConnectionTest, HasNothingUnreadAfterAReadOfExactlyWhatThereWas) {
  send("1234");
  notice();
  EXPECT_EQ(read(4), 4u);
  EXPECT_FALSE(connection_->has_unread());
}

TEST_F(ConnectionTest, NoticesItsPeersEndAfterSuchARead) {
  send("1234");
  notice();
  EXPECT_EQ(read(4), 4u);
  EXPECT_FALSE(connection_->has_unread());
  bool gone = false;
  connection_->on_peer_gone([&gone] { gone = true; });
  ::shutdown(peer_, SHUT_WR);
  notice();
  EXPECT_TRUE(gone);
  EXPECT_FALSE(connection_->is_open());
}

TEST_F(ConnectionTest, ReadsTheLastBytesAndThenTheEndThatCameWithThem) {
  send("bye");
  ::shutdown(peer_, SHUT_WR);
  notice();
  EXPECT_FALSE(connection_->must_wait());
  EXPECT_EQ(read(16), 3u);
  EXPECT_FALSE(connection_->must_wait()) << "the end is not reported again";
  EXPECT_EQ(read(16), std::nullopt);
  EXPECT_EQ(connection_->closed(), Connection::Closed::kByPeer);
}

TEST_F(ConnectionTest, WakesItsReaderWhenBytesCome) {
  bool woken = false;
  const auto reader = [&]() -> Task<void> {
    if (connection_->must_wait()) co_await connection_->wait();
    woken = true;
  };
  asio::co_spawn(io_, reader(), asio::detached);
  notice();
  EXPECT_FALSE(woken);
  send("x");
  notice();
  EXPECT_TRUE(woken);
}

TEST_F(ConnectionTest, WritesOnWhenAFullSocketHasRoomAgain) {
  std::optional<bool> sent;
  const auto writer = [&]() -> Task<void> { sent = co_await connection_->write(kMuch); };
  asio::co_spawn(io_, writer(), asio::detached);
  notice();
  EXPECT_EQ(sent, std::nullopt);
  std::string received;
  while (!sent) {
    const std::string part = peer_reads(kMuch.size());
    ASSERT_FALSE(part.empty()) << "neither reader nor writer goes on";
    received += part;
    notice();
  }
  EXPECT_EQ(sent, true);
  for (std::string part = peer_reads(kMuch.size()); !part.empty(); part = peer_reads(kMuch.size()))
    received += part;
  EXPECT_TRUE(received == kMuch);
}

TEST_F(ConnectionTest, AWriteEndsWhenThePeerLeaves) {
  std::optional<bool> sent;
  const auto writer = [&]() -> Task<void> { sent = co_await connection_->write(kMuch); };
  asio::co_spawn(io_, writer(), asio::detached);
  notice();
  ::close(std::exchange(peer_, -1));
  notice();
  EXPECT_EQ(sent, false);
}

TEST_F(ConnectionTest, CutsOffAPeerThatTakesNothing) {
  std::optional<bool> sent;
  const auto writer = [&]() -> Task<void> {
    sent = co_await connection_->write(kMuch, std::chrono::milliseconds(2));
  };
  asio::co_spawn(io_, writer(), asio::detached);
  io_.restart();
  while (!sent && io_.run_one() > 0) {
  }
  EXPECT_EQ(sent, false);
  EXPECT_EQ(connection_->closed(), Connection::Closed::kTimedOut);
}

TEST_F(ConnectionTest, LingersByItselfUntilThePeerHasEnded) {
  const std::weak_ptr<Connection> watch = connection_;
  send("what nobody wants any more");
  connection_->close_lingering(std::chrono::hours(1));
  connection_.reset();
  send(kMuch.substr(0, 100'000));  // more than is dropped in one go
  notice();
  EXPECT_FALSE(watch.expired());
  ::shutdown(peer_, SHUT_WR);
  notice();
  EXPECT_TRUE(watch.expired());
}

TEST_F(ConnectionTest, LingersNoLongerThanItsPatience) {
  const std::weak_ptr<Connection> watch = connection_;
  connection_->close_lingering(std::chrono::milliseconds(1));
  connection_.reset();
  io_.restart();
  while (!watch.expired() && io_.run_one() > 0) {
  }
  EXPECT_TRUE(watch.expired());
}

// Whoever waits holds the connection, which holds who waits: neither would ever go.
TEST_F(ConnectionTest, EndsItsReaderWhenTheThreadEnds) {
  bool woken = false;
  const auto reader = [&](Connection::Ptr connection) -> Task<void> {
    co_await connection->wait();
    woken = true;
  };
  asio::co_spawn(io_, reader(connection_), asio::detached);
  notice();
  const std::weak_ptr<Connection> watch = std::exchange(connection_, nullptr);
  poller_.reset();
  EXPECT_FALSE(watch.expired());
  notice();
  EXPECT_TRUE(woken && watch.expired());
}

// What only TCP has: connecting, urgent data, resets.
class TcpConnectionTest : public testing::Test {
 protected:
  ~TcpConnectionTest() override {
    connection_->close();
    notice();
  }

  void notice() {
    io_.restart();
    io_.poll();
  }
  // Runs the loop until the server's end is there; ours is connected then.
  void connect() {
    std::optional<ErrorCode> result;
    start_connecting(server_.local_endpoint(), result);
    while (!result) io_.run_one();
    ASSERT_FALSE(*result);
    peer_.emplace(server_.accept());
    peer_->set_option(asio::ip::tcp::no_delay(true));
  }
  void start_connecting(asio::ip::tcp::endpoint to, std::optional<ErrorCode>& result) {
    const auto connecting = [](Connection::Ptr connection, asio::ip::tcp::endpoint there,
                               std::optional<ErrorCode>& into) -> Task<void> {
      into = co_await connection->connect(there);
    };
    asio::co_spawn(io_, connecting(connection_, to, result), asio::detached);
  }
  // What the peer has sent takes its time, even here.
  void await_readable() {
    while (connection_->must_wait()) io_.run_one();
  }
  std::optional<std::string> read() {
    std::array<char, 64> into{};
    const auto n = connection_->read_some(into);
    if (!n) return std::nullopt;
    return std::string(into.data(), *n);
  }

  asio::io_context io_;
  DeadlineQueue deadlines_{io_};
  Poller poller_{io_};
  asio::ip::tcp::acceptor server_{io_, {asio::ip::address_v4::loopback(), 0}};
  std::optional<asio::ip::tcp::socket> peer_;
  Connection::Ptr connection_ = std::make_shared<Connection>(poller_, deadlines_);
};

TEST_F(TcpConnectionTest, ConnectsAndTalks) {
  connect();
  EXPECT_EQ(connection_->peer_address(), "127.0.0.1");
  asio::write(*peer_, asio::buffer("hello", 5));
  await_readable();
  EXPECT_EQ(read(), "hello");
}

TEST_F(TcpConnectionTest, SaysThatNobodyListens) {
  const auto nowhere = server_.local_endpoint();
  server_.close();
  std::optional<ErrorCode> result;
  start_connecting(nowhere, result);
  while (!result) io_.run_one();
  EXPECT_EQ(*result, asio::error::connection_refused);
}

TEST_F(TcpConnectionTest, StopsConnectingWhenItIsClosedOrTheTimeIsUp) {
  // One who takes no more callers: connecting to it takes for ever.
  asio::ip::tcp::acceptor full(io_, asio::ip::tcp::v4());
  full.bind({asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  std::vector<asio::ip::tcp::socket> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back(io_, asio::ip::tcp::v4());
    callers.back().native_non_blocking(true);
    const asio::ip::tcp::endpoint there = full.local_endpoint();  // Asio's own connect would wait
    ::connect(callers.back().native_handle(), there.data(), static_cast<socklen_t>(there.size()));
  }
  for (const auto reason : {Connection::Closed::kByUs, Connection::Closed::kTimedOut}) {
    connection_ = std::make_shared<Connection>(poller_, deadlines_);
    std::optional<ErrorCode> result;
    start_connecting(full.local_endpoint(), result);
    notice();
    EXPECT_EQ(result, std::nullopt);
    if (reason == Connection::Closed::kByUs) {
      connection_->close();
    } else {
      connection_->expire_in(std::chrono::milliseconds(1));
    }
    while (!result) io_.run_one();
    EXPECT_EQ(*result, asio::error::operation_aborted);
    EXPECT_EQ(connection_->closed(), reason);
  }
}

TEST_F(TcpConnectionTest, ReadsOnBehindUrgentData) {
  connect();
  asio::write(*peer_, asio::buffer("ab", 2));
  peer_->send(asio::buffer("!", 1), asio::socket_base::message_out_of_band);
  asio::write(*peer_, asio::buffer("cd", 2));
  std::string all;
  while (all.size() < 4) {  // the urgent byte is not among them
    await_readable();
    all += read().value_or("the end, too early");
  }
  EXPECT_EQ(all, "abcd");
}

TEST_F(TcpConnectionTest, NoticesAPeerThatIsCutOff) {
  connect();
  bool gone = false;
  connection_->on_peer_gone([&gone] { gone = true; });
  peer_->set_option(asio::socket_base::linger(true, 0));
  peer_.reset();
  while (!gone) io_.run_one();
  EXPECT_EQ(connection_->closed(), Connection::Closed::kByPeer);
}

TEST_F(TcpConnectionTest, TellsBytesFromAnEnd) {
  connect();
  EXPECT_FALSE(connection_->has_bytes());
  peer_->shutdown(asio::socket_base::shutdown_send);
  await_readable();
  EXPECT_TRUE(connection_->has_unread());
  EXPECT_FALSE(connection_->has_bytes());
}

}  // namespace
}  // namespace batchproxy
