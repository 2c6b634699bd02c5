// tests/backends/connection_pool_test.cc - which of a backend's addresses is connected to, and
// which connections are kept.
#include "backends/call/connection_pool.h"

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using Acceptor = asio::ip::tcp::acceptor;

// A backend on one port of several addresses of this machine.
class ConnectionPoolTest : public testing::Test {
 protected:
  ~ConnectionPoolTest() override {
    pool_.close_idle();
    notice();
  }

  void notice() {
    io_.restart();
    io_.poll();
  }
  asio::ip::tcp::endpoint at(const std::string& address) const {
    return {asio::ip::make_address(address), port_.local_endpoint().port()};
  }
  void be_at(std::initializer_list<const char*> addresses) {
    Endpoint endpoint;
    for (const char* address : addresses) endpoint.addresses.push_back(at(address));
    pool_.set(std::make_shared<const Endpoint>(std::move(endpoint)));
  }
  void listen(const std::string& address) { listening_.emplace_back(io_, at(address)); }
  // Connecting to it takes for ever.
  void be_silent(const std::string& address) {
    Acceptor& full = listening_.emplace_back(io_, asio::ip::tcp::v4());
    full.set_option(asio::socket_base::reuse_address(true));
    full.bind(at(address));
    full.listen(0);
    for (int i = 0; i < 4; ++i) {
      callers_.emplace_back(io_, asio::ip::tcp::v4());
      callers_.back().native_non_blocking(true);
      const auto there = full.local_endpoint();  // Asio's own connect would wait
      ::connect(callers_.back().native_handle(), there.data(),
                static_cast<socklen_t>(there.size()));
    }
  }

  void start_connecting() {
    connection_ = pool_.make();
    result_.reset();
    const auto connecting = [](ConnectionPoolTest& test) -> Task<void> {
      test.result_ = co_await test.pool_.connect(0, *test.connection_, TimePoint::max());
    };
    asio::co_spawn(io_, connecting(*this), asio::detached);
  }
  // Where the connection leads, or why there is none.
  std::string connect() {
    start_connecting();
    while (!result_) io_.run_one();
    return *result_ ? result_->message() : connection_->peer_address();
  }

  asio::io_context io_;
  DeadlineQueue deadlines_{io_};
  Poller poller_{io_};
  ConnectionPool pool_{poller_, deadlines_, 600ms};
  Acceptor port_{io_, {asio::ip::make_address("127.0.0.1"), 0}};  // holds it
  std::vector<Acceptor> listening_;
  std::vector<asio::ip::tcp::socket> callers_;
  Connection::Ptr connection_;
  std::optional<ErrorCode> result_;
};

const std::string kRefused = ErrorCode(asio::error::connection_refused).message();

TEST_F(ConnectionPoolTest, TriesTheNextAddressWhenOneRefuses) {
  listen("127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.3"});
  EXPECT_EQ(connect(), "127.0.0.3");
  EXPECT_FALSE(connection_->has_unread());
}

TEST_F(ConnectionPoolTest, LeavesTimeForTheNextWhenOneIsSilent) {
  be_silent("127.0.0.2");
  listen("127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.3"});
  EXPECT_EQ(connect(), "127.0.0.3");
  EXPECT_TRUE(connection_->is_open());
}

TEST_F(ConnectionPoolTest, BeginsWithTheAddressThatWorkedLast) {
  listen("127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.3"});
  EXPECT_EQ(connect(), "127.0.0.3");
  listen("127.0.0.2");
  EXPECT_EQ(connect(), "127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.4"});
  EXPECT_EQ(connect(), "127.0.0.2") << "it has gone";
}

TEST_F(ConnectionPoolTest, FailsAsTheFirstAddressDid) {
  be_at({"127.0.0.2"});
  EXPECT_EQ(connect(), kRefused);
  be_silent("127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.3"});
  EXPECT_EQ(connect(), kRefused);
  be_at({"127.0.0.3", "127.0.0.2"});
  EXPECT_EQ(connect(), ErrorCode(asio::error::timed_out).message());
  EXPECT_FALSE(connection_->is_open());
}

TEST_F(ConnectionPoolTest, FailsAtOnceWhenThereIsNoAddress) {
  be_at({});
  EXPECT_EQ(connect(), ErrorCode(asio::error::host_not_found).message());
}

TEST_F(ConnectionPoolTest, TriesNoFurtherOnceItIsClosed) {
  be_silent("127.0.0.2");
  listen("127.0.0.3");
  be_at({"127.0.0.2", "127.0.0.3"});
  start_connecting();
  notice();
  EXPECT_EQ(result_, std::nullopt);
  connection_->close();
  while (!result_) io_.run_one();
  EXPECT_EQ(*result_, asio::error::operation_aborted);
  EXPECT_EQ(connection_->descriptor(), -1);
}

TEST_F(ConnectionPoolTest, KeepsConnectionsToAddressesThatStay) {
  listen("127.0.0.2");
  be_at({"127.0.0.2"});
  connect();
  pool_.give_back(0, connection_);
  be_at({"127.0.0.3", "127.0.0.2"});
  EXPECT_EQ(pool_.take_idle(0), connection_);
  pool_.give_back(0, connection_);
  EXPECT_EQ(pool_.take_idle(0), connection_);
  connection_->close();
}

TEST_F(ConnectionPoolTest, ClosesConnectionsToAddressesThatHaveGone) {
  listen("127.0.0.2");
  be_at({"127.0.0.2"});
  connect();
  pool_.give_back(0, connection_);
  be_at({"127.0.0.3"});
  EXPECT_FALSE(connection_->is_open());
  EXPECT_EQ(pool_.take_idle(0), nullptr);
}

// A call finishes on it, and then it is of no more use.
TEST_F(ConnectionPoolTest, DoesNotKeepAConnectionWhoseAddressHasGoneMeanwhile) {
  listen("127.0.0.2");
  be_at({"127.0.0.2"});
  connect();
  be_at({"127.0.0.3"});
  EXPECT_TRUE(connection_->is_open());
  pool_.give_back(0, connection_);
  EXPECT_FALSE(connection_->is_open());
  EXPECT_EQ(pool_.take_idle(0), nullptr);
}

TEST_F(ConnectionPoolTest, KeepsAConnectionWhoseAddressHasStayedMeanwhile) {
  listen("127.0.0.2");
  be_at({"127.0.0.2"});
  connect();
  be_at({"127.0.0.3", "127.0.0.2"});
  pool_.give_back(0, connection_);
  EXPECT_EQ(pool_.take_idle(0), connection_);
  connection_->close();
}

}  // namespace
}  // namespace batchproxy
