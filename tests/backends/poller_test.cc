// tests/backends/poller_test.cc - which sockets are reported as ready, and how often.
#include "backends/net/poller.h"

#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {
namespace {

// One end of a pair, and what is reported of it.
class Watched final : public Pollable {
 public:
  explicit Watched(Poller& poller) : poller_(poller) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    ours_ = ends[0];
    peer_ = ends[1];
  }
  ~Watched() {
    remove();
    ::close(ours_);
    ::close(peer_);
  }

  void add() { watched_ = !poller_.add(ours_, *this); }
  void remove() {
    if (std::exchange(watched_, false)) poller_.remove(ours_, *this);
  }
  void peer_sends(std::string_view bytes) const {
    EXPECT_EQ(::write(peer_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void peer_ends() const { ::shutdown(peer_, SHUT_WR); }
  void read_all() const {
    std::array<char, 64> into{};
    while (::recv(ours_, into.data(), into.size(), 0) > 0) {
    }
  }

  void on_ready(Ready ready) override {
    ++reports;
    last = ready;
    if (then) then();
  }
  void on_abandoned() override {
    watched_ = false;
    abandoned = true;
    if (then) then();
  }

  std::function<void()> then;
  int reports = 0;
  Ready last;
  bool abandoned = false;

 private:
  Poller& poller_;
  int ours_ = -1;
  int peer_ = -1;
  bool watched_ = false;
};

class PollerTest : public testing::Test {
 protected:
  void turn() { io_.poll(); }
  // Adds `one`, and is done with what is reported of any new socket: that it can be written to.
  void begin(Watched& one) {
    one.add();
    turn();
    one.reports = 0;
  }

  asio::io_context io_;
  std::unique_ptr<Poller> poller_ = std::make_unique<Poller>(io_);
  Watched a_{*poller_}, b_{*poller_};
};

TEST_F(PollerTest, ReportsAtOnceWhatIsReadyAlready) {
  a_.peer_sends("x");
  a_.add();
  turn();
  EXPECT_EQ(a_.reports, 1);
  EXPECT_TRUE(a_.last.readable && a_.last.writable);
  EXPECT_FALSE(a_.last.read_until_empty);
}

TEST_F(PollerTest, ReportsOnceUntilMoreComes) {
  begin(a_);
  a_.peer_sends("x");
  turn();
  turn();
  EXPECT_EQ(a_.reports, 1) << "although nobody has read it";
  a_.peer_sends("y");
  turn();
  EXPECT_EQ(a_.reports, 2);
  a_.read_all();
  a_.peer_sends("z");
  turn();
  EXPECT_EQ(a_.reports, 3);
}

TEST_F(PollerTest, TellsThatAPeerHasEndedTogetherWithItsLastBytes) {
  begin(a_);
  a_.peer_sends("bye");
  a_.peer_ends();
  turn();
  EXPECT_TRUE(a_.last.readable && a_.last.read_until_empty);
}

TEST_F(PollerTest, ReportsNothingOfTheRemovedEvenInTheSameTurn) {
  begin(a_);
  begin(b_);
  a_.then = [&] { b_.remove(); };
  b_.then = [&] { a_.remove(); };
  a_.peer_sends("x");
  b_.peer_sends("x");
  turn();
  EXPECT_EQ(a_.reports + b_.reports, 1);
  a_.peer_sends("y");
  b_.peer_sends("y");
  turn();
  EXPECT_EQ(a_.reports + b_.reports, 2) << "the one that is left";
}

TEST_F(PollerTest, OneMayRemoveItselfWhenItIsReported) {
  begin(a_);
  a_.then = [&] { a_.remove(); };
  a_.peer_sends("x");
  turn();
  a_.peer_sends("y");
  turn();
  EXPECT_EQ(a_.reports, 1);
}

TEST_F(PollerTest, AnExceptionOfOneTakesNothingFromTheOthers) {
  begin(a_);
  begin(b_);
  a_.then = b_.then = [] { throw std::runtime_error("a bug"); };
  a_.peer_sends("x");
  b_.peer_sends("x");
  EXPECT_THROW(turn(), std::runtime_error);
  EXPECT_THROW(turn(), std::runtime_error) << "the loop hears of each";
  EXPECT_EQ(a_.reports + b_.reports, 2);
  a_.then = {};
  a_.peer_sends("y");
  turn();
  EXPECT_EQ(a_.reports, 2) << "and it goes on";
}

TEST_F(PollerTest, ReportsAllOfManyMoreThanOneTurnTakes) {
  std::vector<std::unique_ptr<Watched>> many;
  for (int i = 0; i < 300; ++i) many.push_back(std::make_unique<Watched>(*poller_));
  for (const auto& one : many) begin(*one);
  for (const auto& one : many) one->peer_sends("x");
  turn();
  for (const auto& one : many) EXPECT_EQ(one->reports, 1);
}

TEST_F(PollerTest, TellsThoseWhoAreLeftThatItIsOver) {
  begin(a_);
  b_.add();
  b_.remove();
  poller_.reset();
  EXPECT_TRUE(a_.abandoned);
  EXPECT_FALSE(b_.abandoned);
}

TEST_F(PollerTest, OneThatIsAbandonedMayRemoveAnother) {
  begin(a_);
  begin(b_);
  a_.then = [&] { b_.remove(); };
  b_.then = [&] { a_.remove(); };
  poller_.reset();
  EXPECT_NE(a_.abandoned, b_.abandoned);
}

TEST_F(PollerTest, SaysWhyASocketCannotBeWatched) {
  Watched closed(*poller_);
  EXPECT_EQ(poller_->add(-1, closed).value(), EBADF);
}

}  // namespace
}  // namespace batchproxy
