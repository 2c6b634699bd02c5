// tests/backends/deadline_test.cc - many deadlines on one timer: which expire, and in which order.
#include "backends/net/deadline.h"

#include <functional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

// Tells its name to all who listen, and may do something then.
class Named final : public Deadline {
 public:
  Named(std::string& log, char name) : log_(log), name_(name) {}
  void on_expired() override {
    log_ += name_;
    if (then) then();
  }
  std::function<void()> then;

 private:
  std::string& log_;
  const char name_;
};

// The loop ends by itself: once no deadline is linked, there is no timer to wait for.
class DeadlineTest : public testing::Test {
 protected:
  std::string run() {
    io_.run();
    io_.restart();
    return std::exchange(log_, {});
  }

  asio::io_context io_;
  DeadlineQueue queue_{io_};
  std::string log_;
  Named a_{log_, 'a'}, b_{log_, 'b'}, c_{log_, 'c'};
  const TimePoint start_ = std::chrono::steady_clock::now();
};

TEST_F(DeadlineTest, ExpireInTheOrderOfTheirTimes) {
  queue_.set(b_, start_ + 2ms);
  queue_.set(c_, start_ + 3ms);
  queue_.set(a_, start_ + 1ms);
  EXPECT_EQ(run(), "abc");
  EXPECT_FALSE(a_.is_set() || b_.is_set() || c_.is_set());
}

TEST_F(DeadlineTest, NeverExpireBeforeTheirTime) {
  queue_.set(a_, start_ + 5ms);
  a_.then = [&] { EXPECT_GE(std::chrono::steady_clock::now(), start_ + 5ms); };
  EXPECT_EQ(run(), "a");
}

TEST_F(DeadlineTest, CanBeCleared) {
  queue_.set(a_, start_ + 1ms);
  queue_.set(b_, start_ + 2ms);
  a_.clear();
  EXPECT_FALSE(a_.is_set());
  EXPECT_EQ(run(), "b");
}

TEST_F(DeadlineTest, CanBePutOff) {
  queue_.set(a_, start_ + 1ms);
  queue_.set(b_, start_ + 2ms);
  queue_.set(a_, start_ + 4ms);
  a_.then = [&] { EXPECT_GE(std::chrono::steady_clock::now(), start_ + 4ms); };
  EXPECT_EQ(run(), "ba");
}

TEST_F(DeadlineTest, ThatWerePutOffExpireInOrderInALateLoop) {
  queue_.set(a_, start_ - 3ms);
  queue_.set(b_, start_ - 2ms);
  queue_.set(a_, start_ - 1ms);
  EXPECT_EQ(run(), "ba");
}

TEST_F(DeadlineTest, CanBeBroughtForward) {
  queue_.set(a_, start_ + 1h);
  queue_.set(b_, start_ + 2ms);
  queue_.set(a_, start_ + 1ms);
  EXPECT_EQ(run(), "ab");
}

TEST_F(DeadlineTest, CanBeSetAgainAfterTheyWereCleared) {
  queue_.set(a_, start_ + 2ms);
  a_.clear();
  queue_.set(a_, start_ + 3ms);
  queue_.set(b_, start_ + 1ms);
  b_.clear();
  queue_.set(b_, start_ + 1h);
  queue_.set(b_, start_ + 4ms);
  b_.then = [&] { EXPECT_GE(std::chrono::steady_clock::now(), start_ + 4ms); };
  EXPECT_EQ(run(), "ab");
}

TEST_F(DeadlineTest, MaySetAndClearOthersAndThemselvesWhenTheyExpire) {
  queue_.set(a_, start_ + 1ms);
  queue_.set(b_, start_ + 1ms);
  queue_.set(c_, start_ + 1ms);
  bool again = false;
  a_.then = [&] {
    b_.clear();
    if (!std::exchange(again, true)) queue_.set(a_, start_ + 2ms);
  };
  EXPECT_EQ(run(), "aca");
}

TEST_F(DeadlineTest, LeaveWhenTheyEnd) {
  {
    Named short_lived(log_, 'x');
    queue_.set(short_lived, start_ + 1ms);
  }
  queue_.set(a_, start_ + 2ms);
  EXPECT_EQ(run(), "a");
}

}  // namespace
}  // namespace batchproxy
