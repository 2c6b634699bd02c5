// tests/batcher/scheduler_background_test.cc - requests of batches let all others go first.
#include <algorithm>
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Background : public SchedulerFixture {
 protected:
  Background() { start_with(0.875); }

  void start_with(double share, std::uint32_t backends = 1) {
    SchedulerOptions options;
    options.batch_timeout = 1s;
    options.background_share = share;
    BackendTraits traits;
    traits.max_num_seqs = 8;
    start(options, backends, traits);
  }

  Ticket& submit(bool background, std::uint64_t client, Duration arrival = 0s) {
    Ticket& made = ticket(arrival);
    made.background = background;
    made.client = client;
    scheduler_->submit(made);
    return made;
  }
  // Another client, whose request is over.
  void ask_once(Duration now = 0s) {
    Ticket& other = submit(false, 2, now);
    EXPECT_THAT(take(now), ElementsAre(&other));
    complete(other, Outcome::kGood, now);
  }
  // Backends that a batch does not fill.
  std::ptrdiff_t light() const {
    std::ptrdiff_t light = 0;
    for (BackendId id = 0; id < scheduler_->backend_count(); ++id) {
      light += scheduler_->inflight(id) < 8 ? 1 : 0;
    }
    return light;
  }
  std::size_t sent_of(int tickets, Duration now) {
    for (int i = 0; i < tickets; ++i) submit(true, 1, now);
    return take(now).size();
  }
};

TEST_F(Background, FillsTheRoomWhileNobodyElseAsks) {
  EXPECT_EQ(sent_of(20, 0s), 8);
}

TEST_F(Background, LeavesAPartOfTheRoomToOthersWhileTheyAsk) {
  ask_once();
  EXPECT_EQ(sent_of(20, 0s), 7);
  Ticket& other = submit(false, 2);
  EXPECT_THAT(take(0s), ElementsAre(&other)) << "it waits for nobody";
  EXPECT_THAT(take(0s), IsEmpty());
}

TEST_F(Background, FillsTheRoomAgainWhenOthersAreQuiet) {
  ask_once();
  EXPECT_EQ(sent_of(20, 9s), 7);
  EXPECT_THAT(take(9999ms), IsEmpty());
  EXPECT_THAT(take(10s), SizeIs(1));
}

TEST_F(Background, KeepsAsManyBackendsLightAsOthersNeed) {
  struct Case {
    std::size_t others;    // in flight
    std::ptrdiff_t light;  // of 4 backends: one for each 2 of them
  };
  for (const Case each : {Case{1, 1}, Case{2, 1}, Case{3, 2}, Case{5, 3}, Case{8, 4}}) {
    start_with(0.25, 4);
    for (std::size_t i = 0; i < each.others; ++i) submit(false, 2);
    EXPECT_THAT(take(0s), SizeIs(each.others));
    sent_of(100, 0s);
    EXPECT_EQ(light(), each.light) << each.others;
  }
}

TEST_F(Background, KeepsThemLightForAMinute) {
  start_with(0.25, 4);
  for (int i = 0; i < 3; ++i) submit(false, 2);
  submit(true, 1);
  for (const Ticket* sent : take(0s)) complete(*sent, Outcome::kGood, 1s);
  for (Duration now = 5s; now <= 55s; now += 5s) ask_once(now);
  sent_of(100, 55s);
  EXPECT_EQ(light(), 2) << "as many as there were at once may be there again";
  ask_once(59s);
  take(60s);
  EXPECT_EQ(light(), 1);
}

TEST_F(Background, OfAnotherModelLeavesNothing) {
  start_with(0.25, 2);
  const auto submit_to = [&](BackendId id, bool background) {
    Ticket& made = ticket(0s);
    made.background = background;
    made.backends = {};
    made.backends.insert(id);
    scheduler_->submit(made);
  };
  submit_to(0, false);
  EXPECT_THAT(take(0s), SizeIs(1));
  for (int i = 0; i < 20; ++i) submit_to(1, true);
  EXPECT_THAT(take(0s), SizeIs(8));
}

TEST_F(Background, GoesWhenNobodyElseWaitsHoweverLongItHasWaited) {
  for (int i = 0; i < 20; ++i) submit(true, 1);
  const auto sent = take(0s);
  for (int i = 0; i < 3; ++i) submit(false, 2, 500ms);
  EXPECT_THAT(take(500ms), IsEmpty());
  complete(*sent[0], Outcome::kGood, 600ms);
  complete(*sent[1], Outcome::kGood, 600ms);
  const auto next = take(600ms);
  EXPECT_THAT(next, SizeIs(2));
  EXPECT_TRUE(std::ranges::none_of(next, &Ticket::background));
  EXPECT_THAT(take(1500ms), SizeIs(1)) << "another client goes beyond the room at last";
  EXPECT_THAT(take(299s), IsEmpty()) << "a batch does so for no time-out";
  complete(*sent[2], Outcome::kGood, 300s);
  complete(*sent[3], Outcome::kGood, 300s);
  const auto last = take(300s);
  ASSERT_THAT(last, SizeIs(1));
  EXPECT_TRUE(last[0]->background);
}

TEST_F(Background, LeavesAsMuchAsItIsTold) {
  start_with(0.25);
  ask_once();
  EXPECT_EQ(sent_of(20, 0s), 2);
  start_with(0.01);
  ask_once();
  EXPECT_EQ(sent_of(1, 0s), 1) << "one goes always";
}

TEST_F(Background, TakesTurnsAmongItsClients) {
  for (int i = 0; i < 20; ++i) submit(true, 1);
  for (int i = 0; i < 3; ++i) submit(true, 2);
  const auto sent = take(0s);
  EXPECT_EQ(std::ranges::count(sent, 2u, &Ticket::client), 3);
}

}  // namespace
}  // namespace batchproxy
