// tests/backends/connection_test.cc - what a connection knows of bytes that it has not read.
#include "backends/http/connection.h"

#include <array>
#include <memory>
#include <string_view>

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
    connection_ = std::make_shared<Connection>(ends[0], poller_, deadlines_);
    connection_->start();
    peer_ = ends[1];
  }
  ~ConnectionTest() override {
    connection_->close();
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

  asio::io_context io_;
  DeadlineQueue deadlines_{io_};
  Poller poller_{io_};
  Connection::Ptr connection_;
  int peer_ = -1;
};

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

}  // namespace
}  // namespace batchproxy
