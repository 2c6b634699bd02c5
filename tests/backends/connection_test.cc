// tests/backends/connection_test.cc - what a connection notices, and when it lets go.
#include "backends/http/connection.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
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
    connection_ = std::make_shared<Connection>(ends[0], *poller_, deadlines_);
    connection_->start();
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

TEST_F(ConnectionTest, KnowsOfBytesThatCameAMomentAgo) {
  EXPECT_FALSE(connection_->has_unread());
  send("x");
  EXPECT_TRUE(connection_->has_unread());
  EXPECT_EQ(read(16), 1u);
  EXPECT_FALSE(connection_->has_unread());
}

TEST_F(ConnectionTest, KnowsOfAnEndThatCameAMomentAgo) {
  ::shutdown(peer_, SHUT_WR);
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

}  // namespace
}  // namespace batchproxy
