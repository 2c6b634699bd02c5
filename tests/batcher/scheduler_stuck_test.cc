// tests/batcher/scheduler_stuck_test.cc - what the Scheduler does about backends that stand
// still with requests in hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/prospects_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class StuckBackend : public ProspectsFixture {
 protected:
  // The metrics of backend 0, a look each 250 ms; take() when it is due. Until something stops or
  // moves again.
  enum class Metrics { kMove, kStand, kIdle, kNoCount, kNone };
  std::vector<Stall> watch(Metrics metrics, Duration& now, Duration until) {
    for (; now <= until; now += 250ms) {
      std::optional<EngineSample> sample;
      if (metrics != Metrics::kNone) sample = EngineSample{.running = 1};
      if (metrics == Metrics::kIdle) sample->running = 0;
      if (metrics == Metrics::kMove) ++steps_;
      if (sample && metrics != Metrics::kNoCount) sample->steps = steps_;
      scheduler_->observe(0, sample, at(now));
      const auto due = scheduler_->next_due();
      if (due && *due <= at(now)) take(now);
      auto stalls = scheduler_->take_stalls();
      if (!stalls.empty()) return stalls;
    }
    return {};
  }
  // Backend 0 has a request in hand from 0 s on and stands still.
  Ticket& get_stuck(Duration& now, Metrics metrics = Metrics::kStand) {
    Ticket& held = submit(0s, only({0}));
    EXPECT_THAT(take(0s), ElementsAre(&held));
    EXPECT_EQ(watch(metrics, now, 60s).size(), 1u);
    EXPECT_TRUE(scheduler_->stuck(0));
    return held;
  }

  std::uint64_t steps_ = 5;
};

TEST_F(StuckBackend, SeeABackendWhoseCountStandsAndGiveItNothingButAProbe) {
  start(1, watching());
  Duration now = 0s;
  Ticket& held = submit(0s);
  take(0s);
  const auto stalls = watch(Metrics::kStand, now, 60s);
  ASSERT_EQ(stalls.size(), 1u);
  EXPECT_EQ(stalls[0].backend, 0u);
  EXPECT_TRUE(stalls[0].stuck);
  EXPECT_FALSE(stalls[0].again);
  EXPECT_EQ(stalls[0].inflight, 1u);
  EXPECT_GE(now, 10s);
  EXPECT_LE(now, 10250ms);
  EXPECT_EQ(stalls[0].quiet, now);
  EXPECT_TRUE(scheduler_->breaker_open(0));
  complete(held, Outcome::kUnknown, now);
  submit_many(10, now);
  EXPECT_THAT(take(now), IsEmpty());
  EXPECT_EQ(wait(now, now + 10s).size(), 1u) << "the probe";
  EXPECT_EQ(woken_, now + Breaker::kLastResort);
  EXPECT_THAT(take(woken_ + 500ms), IsEmpty());
}

TEST_F(StuckBackend, SeeACountThatStandsOnceItHadSeenTheEngineIdle) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kIdle, now, 1s), IsEmpty());
  EXPECT_EQ(watch(Metrics::kStand, now, 60s).size(), 1u);
  EXPECT_LE(now, 11500ms);
}

TEST_F(StuckBackend, SeeABackendWhoseMetricsHaveFallenSilent) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kNoCount, now, 2s), IsEmpty());
  EXPECT_EQ(watch(Metrics::kNone, now, 60s).size(), 1u);
  EXPECT_LE(now, 12500ms);
}

TEST_F(StuckBackend, WaitLongerForABackendThatTellsNoCount) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_EQ(watch(Metrics::kNoCount, now, 60s).size(), 1u);
  EXPECT_EQ(now, 30s);
}

TEST_F(StuckBackend, SeeABackendThatThreeClientsInARowGaveUpOn) {
  start(1, watching());
  teach(0, 1s, 0s);
  submit_many(4, 0s);
  const auto sent = take(0s);
  for (std::size_t i = 0; i < 2; ++i) complete(*sent[i], Outcome::kLeft, 4s);
  take(4s);
  EXPECT_THAT(scheduler_->take_stalls(), IsEmpty());
  complete(*sent[2], Outcome::kLeft, 4s);
  EXPECT_LE(*scheduler_->next_due(), at(4s));
  take(4s);
  EXPECT_EQ(scheduler_->take_stalls().size(), 1u);
}

TEST_F(StuckBackend, LearnNothingFromClientsThatGiveUpAtOnce) {
  start(1, watching());
  teach(0, 1s, 0s);
  submit(0s);
  take(0s);
  for (int i = 0; i < 6; ++i) {
    submit(i * 100ms);
    complete_all(take(i * 100ms), Outcome::kLeft, i * 100ms + 50ms);
  }
  Duration now = 1s;
  EXPECT_THAT(watch(Metrics::kNoCount, now, 6s), IsEmpty());
}

TEST_F(StuckBackend, NeverTakeASlowEngineThatCountsForStuck) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kMove, now, 1h), IsEmpty());
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

TEST_F(StuckBackend, TellThatItMovesAgainByItsCountOrItsBytes) {
  for (const bool by_bytes : {false, true}) {
    start(1, watching());
    steps_ = 5;
    Duration now = 0s;
    get_stuck(now);
    std::vector<Stall> stalls;
    if (by_bytes) {
      scheduler_->on_bytes(0, at(now));
      stalls = scheduler_->take_stalls();
    } else {
      stalls = watch(Metrics::kMove, now, now + 1s);
    }
    ASSERT_EQ(stalls.size(), 1u);
    EXPECT_FALSE(stalls[0].stuck);
    EXPECT_FALSE(scheduler_->stuck(0));
    submit_many(2, now);
    EXPECT_EQ(take(now).size(), 1u) << "a probe at once";
    EXPECT_TRUE(scheduler_->breaker_open(0));
    take(now + 5s);
    EXPECT_FALSE(scheduler_->breaker_open(0)) << "that it lasts is a good sign now";
  }
}

TEST_F(StuckBackend, TellThatItStallsAgainWhenTheProbeIsNotAnswered) {
  start(1, watching());
  teach(0, 1s, 0s);
  Duration now = 0s;
  complete(get_stuck(now), Outcome::kUnknown, now);
  submit(now);
  ASSERT_EQ(wait(now, now + 10s).size(), 1u);
  const Duration probed = now = woken_;
  const auto stalls = watch(Metrics::kStand, now, now + 60s);
  ASSERT_EQ(stalls.size(), 1u);
  EXPECT_TRUE(stalls[0].stuck);
  EXPECT_TRUE(stalls[0].again);
  EXPECT_GE(now - probed, 2s);
  EXPECT_LE(now - probed, 3s);
}

TEST_F(StuckBackend, GiveAProbeItsTimeWhileOthersStillWaitForTheStuckBackend) {
  start(1, watching());
  teach(0, 1s, 0s);
  Duration now = 0s;
  get_stuck(now);  // and its request stays
  submit(now);
  ASSERT_EQ(wait(now, now + 10s).size(), 1u);
  const Duration probed = now = woken_;
  EXPECT_EQ(watch(Metrics::kStand, now, now + 60s).size(), 1u);
  EXPECT_GE(now - probed, 2s);
}

TEST_F(StuckBackend, GiveAStuckBackendNothingButProbesAfterAProbeThatWasLost) {
  start(1, watching());
  Duration now = 0s;
  complete(get_stuck(now, Metrics::kNoCount), Outcome::kUnknown, now);
  submit_many(5, now);
  const auto first = wait(now, now + 20s);
  ASSERT_EQ(first.size(), 1u);
  complete_all(first, Outcome::kLost, woken_);
  ASSERT_EQ(wait(woken_, woken_ + 20s).size(), 1u) << "the second probe";
  EXPECT_THAT(take(woken_ + 6s), IsEmpty()) << "it has not been answered";
  EXPECT_TRUE(scheduler_->breaker_open(0));
}

TEST_F(StuckBackend, CloseWhenTheProbeIsAnswered) {
  start(1, watching());
  Duration now = 0s;
  complete(get_stuck(now), Outcome::kUnknown, now);
  submit_many(3, now);
  complete_all(wait(now, now + 20s), Outcome::kGood, now + 2s);
  EXPECT_EQ(take(now + 2s).size(), 2u);
  EXPECT_FALSE(scheduler_->stuck(0));
  EXPECT_FALSE(scheduler_->breaker_open(0));
  const auto stalls = scheduler_->take_stalls();
  ASSERT_EQ(stalls.size(), 1u);
  EXPECT_FALSE(stalls[0].stuck);
}

TEST_F(StuckBackend, AskElsewhereWhatComesWhileABackendIsStuck) {
  start(2, watching());
  Duration now = 0s;
  get_stuck(now);
  submit_many(20, now);
  for (const Ticket* each : take(now)) EXPECT_EQ(each->verdict.backend, 1u);
  EXPECT_EQ(scheduler_->inflight(1), 20u);
}

TEST_F(StuckBackend, NeverSayThatThereIsNoBackendWhileAnEngineIsUp) {
  SchedulerOptions options = watching();
  options.hold_timeout = 20s;
  start(1, options);
  Duration now = 0s;
  get_stuck(now);
  Ticket& probe = submit(now);
  ASSERT_THAT(wait(now, now + 10s), ElementsAre(&probe));  // and it is not answered
  submit_of(2, now);
  submit_with(now, 15s);
  for (Duration then = now; then < now + 60s; then += 250ms) {
    for (const Ticket* each : take(then)) {
      if (each->verdict.refused) {
        EXPECT_EQ(each->verdict.refused, Errc::kQueueTimeout);
      }
    }
  }
  EXPECT_EQ(scheduler_->queued(), 0u);
}

}  // namespace
}  // namespace batchproxy
