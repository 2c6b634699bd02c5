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

  void start_with(double share) {
    SchedulerOptions options;
    options.batch_timeout = 1s;
    options.background_share = share;
    BackendTraits traits;
    traits.max_num_seqs = 8;
    start(options, 1, traits);
  }

  Ticket& submit(bool background, std::uint64_t client, Duration arrival = 0s) {
    Ticket& made = ticket(arrival);
    made.background = background;
    made.client = client;
    scheduler_->submit(made);
    return made;
  }
};

TEST_F(Background, LeavesAPartOfTheRoomToOthers) {
  for (int i = 0; i < 20; ++i) submit(true, 1);
  EXPECT_THAT(take(0s), SizeIs(7));
  Ticket& other = submit(false, 2);
  EXPECT_THAT(take(0s), ElementsAre(&other)) << "it waits for nobody";
  EXPECT_THAT(take(0s), IsEmpty());
}

TEST_F(Background, GoesWhenNobodyElseWaitsHoweverLongItHasWaited) {
  for (int i = 0; i < 20; ++i) submit(true, 1);
  const auto sent = take(0s);
  for (int i = 0; i < 3; ++i) submit(false, 2, 500ms);
  EXPECT_THAT(take(500ms), SizeIs(1));
  complete(*sent[0], Outcome::kGood, 600ms);
  complete(*sent[1], Outcome::kGood, 600ms);
  const auto next = take(600ms);
  EXPECT_THAT(next, SizeIs(2));
  EXPECT_TRUE(std::ranges::none_of(next, &Ticket::background));
  EXPECT_THAT(take(299s), IsEmpty()) << "it goes beyond the room for no time-out";
  complete(*sent[2], Outcome::kGood, 300s);
  complete(*sent[3], Outcome::kGood, 300s);
  const auto last = take(300s);
  ASSERT_THAT(last, SizeIs(1));
  EXPECT_TRUE(last[0]->background);
}

TEST_F(Background, LeavesAsMuchAsItIsTold) {
  start_with(0.25);
  for (int i = 0; i < 20; ++i) submit(true, 1);
  EXPECT_THAT(take(0s), SizeIs(2));
  start_with(0.01);
  submit(true, 1);
  EXPECT_THAT(take(0s), SizeIs(1)) << "one goes always";
}

TEST_F(Background, TakesTurnsAmongItsClients) {
  for (int i = 0; i < 20; ++i) submit(true, 1);
  for (int i = 0; i < 3; ++i) submit(true, 2);
  const auto sent = take(0s);
  EXPECT_EQ(std::ranges::count(sent, 2u, &Ticket::client), 3);
}

}  // namespace
}  // namespace batchproxy
