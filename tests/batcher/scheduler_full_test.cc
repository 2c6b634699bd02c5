// tests/batcher/scheduler_full_test.cc - what the Scheduler does about backends that are full,
// and what it sends to them all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class FullBackend : public ProspectsFixture {};

TEST_F(FullBackend, GiveAFullBackendFewerOpenNoBreakerAndGrowAgain) {
  start(1, patient());
  submit_many(20, 0s);
  const auto sent = take(0s);
  ASSERT_EQ(sent.size(), 20u);
  for (int i = 0; i < 12; ++i) complete(*sent[static_cast<std::size_t>(i)], Outcome::kFull, 0s);
  EXPECT_EQ(scheduler_->room(0), 8u);
  EXPECT_FALSE(scheduler_->breaker_open(0));
  submit_many(12, 0s);
  EXPECT_THAT(take(0s), IsEmpty()) << "what it refused waits here";
  for (Duration now = 0s; now < 60s; now += 250ms) scheduler_->observe(0, std::nullopt, at(now));
  EXPECT_EQ(scheduler_->room(0), 100u);
  EXPECT_EQ(take(60s).size(), 12u);
}

TEST_F(FullBackend, GiveABackendNoLessRoomForAHurriedClientWhileItsTimesAreUnknown) {
  start(1, patient(), 64);
  for (const Outcome outcome : {Outcome::kExpired, Outcome::kLeft}) {
    for (int i = 0; i < 100; ++i) {
      const Duration now = 40ms * i;
      Ticket& stream = ticket(now);
      stream.streaming = true;
      scheduler_->submit(stream);
      complete_all(take(now), Outcome::kGood, now);
    }
    scheduler_->observe(0, EngineSample{.waiting = 2}, at(4s));
    submit_with(4s, 10ms);
    complete_all(take(4s), outcome, 4s + 10ms);
    EXPECT_EQ(scheduler_->room(0), 64u);
  }
}

TEST_F(FullBackend, LetABackendRestThatIsFullWithNothingOfOurs) {
  start(1, patient());
  Duration pause = 100ms;
  Duration now = 0s;
  Ticket& ticket = submit(0s);
  for (int i = 0; i < 4; ++i, pause *= 2) {
    ASSERT_THAT(wait(now, now + 10s), ElementsAre(&ticket));
    now = woken_;
    complete(ticket, Outcome::kFull, now);
    scheduler_->submit(ticket);
    EXPECT_THAT(take(now + pause - 1ms), IsEmpty()) << i;
    now += pause;
  }
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

TEST_F(FullBackend, GiveImmediateTicketsNoRoomAndSendThemToAFullEngine) {
  start(1, patient(), /*room=*/1);
  Ticket& generates = submit(0s);
  take(0s);
  submit(0s);
  ASSERT_THAT(take(0s), IsEmpty());
  for (int i = 0; i < 50; ++i) {
    Ticket& made = ticket(1s);
    made.immediate = true;
    scheduler_->submit(made);
    EXPECT_THAT(take(1s), ElementsAre(&made));
    EXPECT_FALSE(made.verdict.takes_room);
    if (i % 2 == 0) complete(made, Outcome::kGood, 1s);
  }
  EXPECT_EQ(scheduler_->inflight(0), 1u + 25u);
  complete(generates, Outcome::kGood, 2s);
  EXPECT_EQ(take(2s).size(), 1u) << "those without room are in nobody's way";
}

}  // namespace
}  // namespace batchproxy
