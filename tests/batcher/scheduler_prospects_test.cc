// tests/batcher/scheduler_prospects_test.cc - what the Scheduler does about requests that cannot be
// answered in time, and about backends that are full, ill or stand still, in virtual time. One
// file, as batcher/prospects.cc is one: all of it follows from what the ends of earlier requests
// have taught.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/batcher/outage_fixture.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SchedulerProspects : public OutageFixture {
 protected:
  // Nothing is sent because it is overdue: each takes what it has room for.
  static SchedulerOptions patient() {
    SchedulerOptions options = usual();
    options.batch_timeout = 1h;
    return options;
  }
  static SchedulerOptions watching() {
    SchedulerOptions options = usual();
    options.stuck_timeout = 10s;
    return options;
  }
  // `id` answers 16 requests one after another, each after `took`, until `until`.
  void teach(BackendId id, Duration took, Duration until) {
    for (int i = 16; i > 0; --i) {
      submit(until - i * took, only({id}));
      complete_all(take(until - i * took), Outcome::kGood, until - (i - 1) * took);
    }
    take(until);
  }
  Ticket& submit_with(Duration arrival, Duration time, BackendSet backends = BackendSet::first(64),
                      std::uint64_t client = 0) {
    Ticket& made = ticket(arrival);
    made.deadline = at(arrival + time);
    made.backends = all_ & backends;
    made.client = client;
    scheduler_->submit(made);
    return made;
  }
  Ticket& submit_of(std::uint64_t client, Duration arrival,
                    BackendSet backends = BackendSet::first(64)) {
    return submit_with(arrival, 600s, backends, client);
  }

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

// --- what cannot be answered in time ------------------------------------------------------------

TEST_F(SchedulerProspects, RefuseAHopelessTicketAtItsTurnAndNeverSendIt) {
  start(1, patient(), /*room=*/1);
  teach(0, 10s, 0s);
  submit(0s);
  const auto sent = take(0s);
  ASSERT_EQ(sent.size(), 1u);
  Ticket& hopeless = submit_with(0s, 20s);
  Ticket& fine = submit_with(0s, 60s);
  EXPECT_THAT(take(14s), IsEmpty()) << "its turn has not come";
  complete_all(sent, Outcome::kGood, 15s);
  EXPECT_THAT(take(15s), testing::UnorderedElementsAre(&hopeless, &fine));
  EXPECT_EQ(hopeless.verdict.refused, Errc::kQueueTimeout);
  EXPECT_FALSE(fine.verdict.refused);
  EXPECT_EQ(scheduler_->inflight(0), 1u);
}

TEST_F(SchedulerProspects, RefuseHopelessTicketsAmongTheOverdueToo) {
  start(1, usual(), /*room=*/1);
  teach(0, 10s, 0s);
  submit_many(2, 0s);
  const auto first = take(0s);
  ASSERT_EQ(take(600ms).size(), 1u);
  Ticket& hopeless = submit_with(1s, 20s);
  EXPECT_THAT(take(2s), IsEmpty()) << "it has all that it may have";
  complete_all(first, Outcome::kGood, 15s);
  EXPECT_THAT(take(15s), ElementsAre(&hopeless));
  EXPECT_EQ(hopeless.verdict.refused, Errc::kQueueTimeout);
}

TEST_F(SchedulerProspects, AlwaysSendFreshTickets) {
  start(1, patient());
  teach(0, 10s, 0s);
  for (const Duration time : {1ms, 100ms, 1000ms, 9999ms}) {
    Ticket& fresh = submit_with(1s, time);
    EXPECT_THAT(take(1s), ElementsAre(&fresh));
    EXPECT_FALSE(fresh.verdict.refused) << "else nobody would know that answers come faster now";
  }
}

TEST_F(SchedulerProspects, LetASlowBackendTakeTheFirstThatItCanAnswerInTime) {
  start(2, patient(), /*room=*/1);
  teach(0, 20s, 0s);
  teach(1, 1s, 0s);
  Ticket& on_fast = submit(0s, only({1}));
  Ticket& on_slow = submit(0s, only({0}));
  ASSERT_EQ(take(0s).size(), 2u);
  Ticket& urgent = submit_with(0s, 60s);
  Ticket& patient_one = submit_with(0s, 600s);
  complete(on_slow, Outcome::kGood, 50s);
  EXPECT_THAT(take(50s), ElementsAre(&patient_one));
  EXPECT_EQ(patient_one.verdict.backend, 0u);
  complete(on_fast, Outcome::kGood, 51s);
  EXPECT_THAT(take(51s), ElementsAre(&urgent));
  EXPECT_EQ(urgent.verdict.backend, 1u);
  EXPECT_FALSE(urgent.verdict.refused);
}

TEST_F(SchedulerProspects, DoNotSpinWhileASlowBackendHasRoomForNobody) {
  start(2, patient(), /*room=*/1);
  teach(0, 20s, 0s);
  teach(1, 1s, 0s);
  submit(0s, only({1}));
  submit(0s, only({0}));
  const auto sent = take(0s);
  submit_with(0s, 60s);
  for (const Ticket* each : sent) {
    if (each->verdict.backend == 0) complete(*each, Outcome::kGood, 50s);
  }
  EXPECT_EQ(wait(50s, 61s).size(), 1u) << "at its deadline";
  EXPECT_EQ(woken_, 60s);
}

TEST_F(SchedulerProspects, SeeFromDeadlinesThatAnEngineHasBecomeSlowerThanAllOfThem) {
  start(1, patient());
  teach(0, 1s, 0s);
  for (int i = 0; i < 32; ++i) {
    submit_with(i * 30s, 30s);
    complete_all(take(i * 30s), Outcome::kExpired, i * 30s + 30s);
  }
  EXPECT_GT(scheduler_->usual(0), 30s);
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

// --- patience -----------------------------------------------------------------------------------

class LearntPatience : public SchedulerProspects {
 protected:
  static constexpr std::uint64_t kHasty = 7;
  static constexpr std::uint64_t kCalm = 8;

  // Backends with room for one whose answers take a second; kHasty is known to wait 3 s.
  void start_learnt(std::uint32_t backends) {
    start(backends, patient(), /*room=*/1);
    for (BackendId id = 0; id < backends; ++id) teach(id, 1s, 0s);
    for (int i = 0; i < 8; ++i) {
      Ticket& made = ticket(-3s);
      made.client = kHasty;
      scheduler_->on_left(made, at(0s));
    }
    for (BackendId id = 0; id < backends; ++id) submit_of(kCalm, 0s, only({id}));
    flying_ = take(0s);
    ASSERT_EQ(flying_.size(), backends);
  }
  // The one on `id` is answered, and another goes.
  Ticket* next(BackendId id, Duration now) {
    const auto mine =
        std::ranges::find(flying_, id, [](const Ticket* each) { return each->verdict.backend; });
    complete(**mine, Outcome::kGood, now);
    flying_.erase(mine);
    const auto taken = take(now);
    if (taken.size() != 1) return nullptr;
    flying_.push_back(taken.front());
    return taken.front();
  }

  std::vector<Ticket*> flying_;
};

TEST_F(LearntPatience, PutsTheTicketsOfClientsThatWillHaveLeftBehindAllOthers) {
  start_learnt(1);
  Ticket& late = submit_of(kHasty, 0s);
  Ticket& second = submit_of(kCalm, 2s);
  Ticket& third = submit_of(kCalm, 2s);
  EXPECT_EQ(next(0, 2500ms), &second);
  EXPECT_EQ(next(0, 2600ms), &third);
  EXPECT_EQ(next(0, 2700ms), &late) << "nobody else waits";
  EXPECT_FALSE(late.verdict.refused);
}

TEST_F(LearntPatience, LeavesThoseThatCanBeAnsweredBeforeTheirClientLeavesAtTheirPlace) {
  start_learnt(1);
  Ticket& in_time = submit_of(kHasty, 0s);
  submit_of(kCalm, 0s);
  EXPECT_EQ(next(0, 1s), &in_time);
}

TEST_F(LearntPatience, GivesEverySixteenthGrantToALateTicketWhileOthersWait) {
  start_learnt(1);
  for (int i = 0; i < 4; ++i) submit_of(kHasty, 0s);
  for (int i = 0; i < 60; ++i) submit_of(kCalm, 0s);
  int late = 0;
  for (int i = 0; i < 49; ++i) {
    const Ticket* granted = next(0, 2500ms);
    ASSERT_NE(granted, nullptr);
    if (granted->client == kHasty) ++late;
  }
  EXPECT_EQ(late, 3) << "only an answer that its client takes can show that it waits after all";
}

TEST_F(LearntPatience, GivesLateTicketsTheirShareHoweverTheBackendsTakeTurns) {
  start_learnt(2);
  submit_of(kHasty, 0s, only({0}));
  submit_of(kHasty, 0s, only({1}));
  for (int i = 0; i < 80; ++i) submit_of(kCalm, 0s, only({static_cast<BackendId>(i % 2)}));
  int late = 0;
  for (int i = 0; i < 70; ++i) {
    const Ticket* granted = next(static_cast<BackendId>(i % 2), 2500ms);
    ASSERT_NE(granted, nullptr);
    if (granted->client == kHasty) ++late;
  }
  EXPECT_EQ(late, 2);
}

TEST_F(LearntPatience, IsDisprovedByAnAnswerThatTheClientStillTook) {
  start_learnt(1);
  submit_of(kHasty, 0s);
  next(0, 2500ms);
  next(0, 4s);  // the hasty one is answered after 4 s
  Ticket& ticket = submit_of(kHasty, 4s);
  Ticket& blocker = submit_of(kCalm, 4s);
  (void)blocker;
  const auto taken = take(4s);
  ASSERT_THAT(taken, ElementsAre(&ticket));
}

TEST_F(SchedulerProspects, RecallWhatABackendHoldsTooLateOnceAPatienceIsLearnt) {
  SchedulerOptions options = usual();
  options.batch_timeout = 1ms;
  start(1, options, 64);
  teach(0, 1s, 0s);  // it answers one a second
  std::vector<Ticket*> held;
  for (int i = 0; i < 100; ++i) submit_of(7, 0s);
  const auto take_into_held = [&](Duration now) {
    for (Ticket* each : take(now)) held.push_back(each);
  };
  take_into_held(0s);
  take_into_held(10ms);
  ASSERT_EQ(held.size(), 100u);
  for (Duration now = 250ms; now <= 10s; now += 250ms) {
    scheduler_->observe(0, EngineSample{.running = 1, .waiting = 99, .steps = 1}, at(now));
  }
  const auto leave = [&](Duration now) {
    complete(*held.back(), Outcome::kLeft, now);
    held.pop_back();
  };
  for (int i = 0; i < 7; ++i) leave(10s + i * 10ms);
  EXPECT_THAT(scheduler_->take_recalls(), IsEmpty());
  leave(10s + 80ms);
  const auto recalls = scheduler_->take_recalls();
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(recalls[0].backend, 0u);
  EXPECT_EQ(recalls[0].client, 7u);
  EXPECT_EQ(recalls[0].before, at(10s + 80ms - (10s + 10ms) / 2));
  // With what it answers in time it may go on, though others leave.
  while (held.size() > 4) {
    complete(*held.back(), Outcome::kUnknown, 10s + 100ms);
    held.pop_back();
  }
  leave(10s + 110ms);
  EXPECT_THAT(scheduler_->take_recalls(), IsEmpty());
}

// --- full ---------------------------------------------------------------------------------------

TEST_F(SchedulerProspects, GiveAFullBackendFewerOpenNoBreakerAndGrowAgain) {
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

TEST_F(SchedulerProspects, GiveABackendNoLessRoomForAHurriedClientWhileItsTimesAreUnknown) {
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

TEST_F(SchedulerProspects, LetABackendRestThatIsFullWithNothingOfOurs) {
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

// --- stuck --------------------------------------------------------------------------------------

TEST_F(SchedulerProspects, SeeABackendWhoseCountStandsAndGiveItNothingButAProbe) {
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

TEST_F(SchedulerProspects, SeeACountThatStandsOnceItHadSeenTheEngineIdle) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kIdle, now, 1s), IsEmpty());
  EXPECT_EQ(watch(Metrics::kStand, now, 60s).size(), 1u);
  EXPECT_LE(now, 11500ms);
}

TEST_F(SchedulerProspects, SeeABackendWhoseMetricsHaveFallenSilent) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kNoCount, now, 2s), IsEmpty());
  EXPECT_EQ(watch(Metrics::kNone, now, 60s).size(), 1u);
  EXPECT_LE(now, 12500ms);
}

TEST_F(SchedulerProspects, WaitLongerForABackendThatTellsNoCount) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_EQ(watch(Metrics::kNoCount, now, 60s).size(), 1u);
  EXPECT_EQ(now, 30s);
}

TEST_F(SchedulerProspects, SeeABackendThatThreeClientsInARowGaveUpOn) {
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

TEST_F(SchedulerProspects, LearnNothingFromClientsThatGiveUpAtOnce) {
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

TEST_F(SchedulerProspects, NeverTakeASlowEngineThatCountsForStuck) {
  start(1, watching());
  submit(0s);
  take(0s);
  Duration now = 0s;
  EXPECT_THAT(watch(Metrics::kMove, now, 1h), IsEmpty());
  EXPECT_FALSE(scheduler_->breaker_open(0));
}

TEST_F(SchedulerProspects, TellThatItMovesAgainByItsCountOrItsBytes) {
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

TEST_F(SchedulerProspects, TellThatItStallsAgainWhenTheProbeIsNotAnswered) {
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

TEST_F(SchedulerProspects, GiveAProbeItsTimeWhileOthersStillWaitForTheStuckBackend) {
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

TEST_F(SchedulerProspects, GiveAStuckBackendNothingButProbesAfterAProbeThatWasLost) {
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

TEST_F(SchedulerProspects, CloseWhenTheProbeIsAnswered) {
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

TEST_F(SchedulerProspects, AskElsewhereWhatComesWhileABackendIsStuck) {
  start(2, watching());
  Duration now = 0s;
  get_stuck(now);
  submit_many(20, now);
  for (const Ticket* each : take(now)) EXPECT_EQ(each->verdict.backend, 1u);
  EXPECT_EQ(scheduler_->inflight(1), 20u);
}

// --- immediate tickets --------------------------------------------------------------------------

TEST_F(SchedulerProspects, GiveImmediateTicketsNoRoomAndSendThemToAFullEngine) {
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

// --- whose fault --------------------------------------------------------------------------------

TEST_F(SchedulerProspects, NeverOpenABreakerForOneClientsErrorsWhileOthersSucceed) {
  start(2, patient());
  for (int i = 0; i < 200; ++i) {
    const Duration now = i * 1s;
    Ticket& bad = submit_of(1, now, only({0}));
    Ticket& good = submit_of(2, now, only({0}));
    take(now);
    complete(bad, Outcome::kServerError, now + 500ms);
    complete(good, Outcome::kGood, now + 500ms);
    // Asked elsewhere, half of them are answered.
    Ticket& again = submit_of(1, now, only({1}));
    take(now + 500ms);
    again.verdict.refutes = only({0});
    complete(again, i % 2 == 0 ? Outcome::kGood : Outcome::kServerError, now + 600ms);
    ASSERT_FALSE(scheduler_->breaker_open(0)) << i;
    ASSERT_FALSE(scheduler_->breaker_open(1)) << i;
  }
}

TEST_F(SchedulerProspects, OpenTheBreakerOfABackendWhoseErrorsAnotherRefutes) {
  start(2, patient());
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(scheduler_->breaker_open(0));
    Ticket& bad = submit(i * 1s, only({0}));
    take(i * 1s);
    complete(bad, Outcome::kServerError, i * 1s);
    Ticket& again = submit(i * 1s, only({1}));
    take(i * 1s);
    again.verdict.refutes = only({0});
    complete(again, Outcome::kGood, i * 1s);
  }
  EXPECT_TRUE(scheduler_->breaker_open(0));
  EXPECT_FALSE(scheduler_->breaker_open(1));
}

TEST_F(SchedulerProspects, NeverSayThatThereIsNoBackendWhileAnEngineIsUp) {
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
