// tests/proxy/in_flight_test.cc - whom tell_stuck() tells that a backend stands still.
#include "proxy/thread/in_flight.h"

#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

class Call final : public InFlight {
 public:
  Call(InFlightList& calls, BackendId backend) : backend_(backend) { calls.push_back(*this); }
  BackendId called() const override { return backend_; }
  void on_stuck() override {
    ++told;
    if (then) then();
  }
  void on_recall(const Recall&) override {}

  int told = 0;
  std::function<void()> then;

 private:
  BackendId backend_;
};

class TellStuck : public testing::Test {
 protected:
  Call& call(BackendId backend) {
    return *made_.emplace_back(std::make_unique<Call>(calls_, backend));
  }

  InFlightList calls_;
  std::vector<std::unique_ptr<Call>> made_;
};

TEST_F(TellStuck, TellsThoseOnTheBackendOnceAndNobodyElse) {
  Call& first = call(0);
  Call& other = call(1);
  Call& second = call(0);
  tell_stuck(calls_, 0);
  EXPECT_EQ(first.told, 1);
  EXPECT_EQ(second.told, 1);
  EXPECT_EQ(other.told, 0);
  EXPECT_EQ(calls_.size(), 3u);
}

TEST_F(TellStuck, TellsThoseThatStayedEachTimeThatItStops) {
  Call& stays = call(0);
  tell_stuck(calls_, 0);
  tell_stuck(calls_, 0);
  EXPECT_EQ(stays.told, 2);
}

TEST_F(TellStuck, TellsAllHoweverManyEndByIt) {
  int told = 0;
  for (int i = 0; i < 10; ++i) {
    Call& ends = call(0);
    ends.then = [&told, &ends] {
      ++told;
      ends.unlink();
    };
  }
  tell_stuck(calls_, 0);
  EXPECT_EQ(told, 10);
  EXPECT_TRUE(calls_.empty());
}

TEST_F(TellStuck, DoesNotTellOneThatAnotherHasTakenAlong) {
  Call& first = call(0);
  call(0);
  Call& third = call(0);
  first.then = [this] { made_[1].reset(); };
  tell_stuck(calls_, 0);
  EXPECT_EQ(first.told, 1);
  EXPECT_EQ(third.told, 1);
  EXPECT_EQ(calls_.size(), 2u);
}

TEST_F(TellStuck, DoesNotTellACallThatBeganWhileTheOthersWereTold) {
  Call& first = call(0);
  Call* begun = nullptr;
  first.then = [&] { begun = &call(0); };
  tell_stuck(calls_, 0);
  ASSERT_NE(begun, nullptr);
  EXPECT_EQ(begun->told, 0);
  EXPECT_EQ(first.told, 1);
}

}  // namespace
}  // namespace batchproxy
