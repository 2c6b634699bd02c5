// tests/proxy/narrator_test.cc - what the log says, once, and what it leaves unsaid.
#include "proxy/terminal/narrator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/registry.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using spdlog::level::err;
using spdlog::level::info;
using spdlog::level::warn;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

BackendRecord backend(BackendState state, BackendOrigin origin = BackendOrigin::kGiven) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->name = "gpu1";
  endpoint->authority = "gpu1:8000";
  BackendRecord made;
  made.endpoint = std::move(endpoint);
  made.origin = origin;
  made.state = state;
  return made;
}

// Of ours, called gpu1 and gpu2.
std::vector<BackendRecord> two_engines() {
  std::vector<BackendRecord> two(2, backend(BackendState::kConfigured, BackendOrigin::kLaunched));
  auto endpoint = std::make_shared<Endpoint>(*two[1].endpoint);
  endpoint->name = "gpu2";
  two[1].endpoint = endpoint;
  return two;
}

Snapshot of(std::initializer_list<BackendState> states, double uptime = 1) {
  Snapshot now;
  now.uptime = uptime;
  for (const BackendState state : states) {
    BackendSnapshot& shown = now.backends.emplace_back();
    shown.id = static_cast<BackendId>(now.backends.size() - 1);
    shown.name = "b" + std::to_string(shown.id);
    shown.state = state;
  }
  return now;
}

class NarratorTest : public testing::Test {
 protected:
  void announce() { ASSERT_TRUE(narrator_.announces(of({BackendState::kReady}))); }

  Narrator narrator_;
};

TEST_F(NarratorTest, AnnouncesOnceWhenAllAreUpThatWillBe) {
  EXPECT_FALSE(narrator_.announces(of({BackendState::kReady, BackendState::kStarting})));
  EXPECT_FALSE(narrator_.announces(of({BackendState::kReady, BackendState::kUnready})));
  EXPECT_FALSE(narrator_.announces(of({BackendState::kFailed, BackendState::kFailed})));
  EXPECT_TRUE(narrator_.announces(of({BackendState::kReady, BackendState::kFailed})));
  EXPECT_FALSE(narrator_.announces(of({BackendState::kReady, BackendState::kReady})));
}

TEST_F(NarratorTest, AnnouncesAfterTenSecondsWhoeverStaysAway) {
  EXPECT_FALSE(narrator_.announces(of({BackendState::kUnready, BackendState::kStarting}, 11)));
  EXPECT_FALSE(narrator_.announces(of({BackendState::kReady, BackendState::kStarting}, 10)));
  EXPECT_TRUE(narrator_.announces(of({BackendState::kReady, BackendState::kStarting}, 11)));
}

TEST_F(NarratorTest, SaysThatABackendIsReadyOnlyOnceHowToUseThemHasBeenSaid) {
  BackendRecord before = backend(BackendState::kUnready);
  const BackendRecord now = backend(BackendState::kReady);
  EXPECT_THAT(narrator_.on_step(before, now, Roster()), IsEmpty());
  announce();
  EXPECT_THAT(narrator_.on_step(before, now, Roster()), ElementsAre(Line{info, "gpu1 is ready"}));
  before.was_ready = true;
  EXPECT_THAT(narrator_.on_step(before, now, Roster()),
              ElementsAre(Line{info, "gpu1 is ready again"}));
}

TEST_F(NarratorTest, SaysHowManyAreUpUntilAllAre) {
  std::vector<BackendRecord> three(3, backend(BackendState::kConfigured));
  BackendRegistry registry(three);
  const auto come_up = [&](BackendId id) {
    const BackendPtr before = registry.roster()->all()[id];
    registry.apply(id, BackendEvent::kProbePassed);
    return narrator_.on_step(*before, registry[id], *registry.roster());
  };
  EXPECT_THAT(come_up(2), ElementsAre(Line{info, "gpu1 is ready (1 of 3)"}));
  EXPECT_THAT(come_up(0), ElementsAre(Line{info, "gpu1 is ready (2 of 3)"}));
  EXPECT_THAT(come_up(1), IsEmpty()) << "which is announced";
}

TEST_F(NarratorTest, SaysWhyABackendIsNotReady) {
  BackendRecord now = backend(BackendState::kUnready);
  now.why = "it refuses connections";
  EXPECT_THAT(narrator_.on_step(backend(BackendState::kConfigured), now, Roster()),
              ElementsAre(Line{warn,
                               "gpu1 (http://gpu1:8000) is not ready: it refuses connections. No "
                               "requests are sent to it until it is"}));
  EXPECT_THAT(narrator_.stop_serving(TimePoint()), IsEmpty());
  EXPECT_THAT(narrator_.on_step(backend(BackendState::kReady), now, Roster()), IsEmpty());
}

TEST_F(NarratorTest, LeavesTheEndOfAnEngineToTheLauncher) {
  EXPECT_THAT(narrator_.on_step(backend(BackendState::kReady, BackendOrigin::kLaunched),
                                backend(BackendState::kFailed, BackendOrigin::kLaunched), Roster()),
              IsEmpty());
}

TEST_F(NarratorTest, TellsAnOutageAndItsEndOnce) {
  EXPECT_THAT(narrator_.on_ready_set(false, 0, 110), IsEmpty()) << "nobody has been up yet";
  announce();
  EXPECT_THAT(narrator_.on_ready_set(true, 0, 110), IsEmpty());
  EXPECT_THAT(narrator_.on_ready_set(false, 0, 110),
              ElementsAre(Line{err,
                               "no backend is ready; requests wait for one for up to 110 s "
                               "(hold_timeout)"}));
  EXPECT_THAT(narrator_.on_ready_set(false, 0, 110), IsEmpty());
  EXPECT_TRUE(narrator_.in_outage());
  EXPECT_THAT(narrator_.on_ready_set(true, 7, 110),
              ElementsAre(Line{info, "a backend is ready again; 7 requests have waited for it"}));
  EXPECT_FALSE(narrator_.in_outage());
}

TEST_F(NarratorTest, SaysThatNoByteComesAndOnceAMinuteThatItGoesOn) {
  Snapshot now = of({BackendState::kReady});
  const auto quiet_for = [&](double seconds) {
    now.backends[0].inflight = 10;
    now.backends[0].quiet = seconds;
    now.backends[0].condition = seconds > 5 ? Condition::kQuiet : Condition::kFine;
    return narrator_.on_tick(now, TimePoint());
  };
  const std::string& name = now.backends[0].name;
  EXPECT_THAT(quiet_for(1), IsEmpty());
  EXPECT_THAT(quiet_for(31),
              ElementsAre(Line{warn, name + ": 10 prompts without a byte for 31 s"}));
  EXPECT_THAT(quiet_for(32), IsEmpty());
  EXPECT_THAT(quiet_for(60.5),
              ElementsAre(Line{warn, name + ": 10 prompts without a byte for 60 s"}));
  EXPECT_THAT(quiet_for(61.5), IsEmpty());
  EXPECT_THAT(quiet_for(0), IsEmpty());
}

TEST_F(NarratorTest, SumsUpTheFailedCallsOfASecond) {
  Snapshot now = of({BackendState::kReady, BackendState::kReady});
  narrator_.begin(now);
  now.backends[1].failed_attempts[static_cast<std::size_t>(CallFailure::kNoAnswer)] = 100;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()),
              ElementsAre(Line{warn, "b1: calls failed: 100 " +
                                         std::string(to_string(CallFailure::kNoAnswer)) +
                                         "; requests are sent again where they can be"}));
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()), IsEmpty());
}

TEST_F(NarratorTest, DoesNotBlameANewBackendForTheCallsOfTheOneBefore) {
  Snapshot now = of({BackendState::kReady});
  narrator_.begin(now);
  now.backends[0].name = "another";
  for (Count& failed : now.backends[0].failed_attempts) failed = 3;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()), IsEmpty());
}

TEST_F(NarratorTest, TellsABreakerThatOpensUnlessItIsClearWhy) {
  Snapshot now = of({BackendState::kReady, BackendState::kUnready, BackendState::kReady});
  now.backends[2].stuck = true;
  narrator_.begin(now);
  for (BackendSnapshot& each : now.backends) each.breaker_open = true;
  const Lines lines = narrator_.on_tick(now, TimePoint());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0].text, HasSubstr("b0: its calls keep failing"));
  now.backends[0].breaker_open = false;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()),
              ElementsAre(Line{info, "b0: its calls are answered again"}));
}

TEST_F(NarratorTest, SaysOfNoEngineThatHasComeBackThatItsCallsAreAnswered) {
  Snapshot now = of({BackendState::kRestarting});
  now.backends[0].breaker_open = true;
  narrator_.begin(now);
  now.backends[0].state = BackendState::kReady;
  now.backends[0].breaker_open = false;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()), IsEmpty());
}

TEST_F(NarratorTest, TellsRefusalsAtMostEveryTenSeconds) {
  Snapshot now = of({}, 0);
  narrator_.begin(now);
  const std::string code(describe(kAllErrors[0]).code);
  now.errors[0] = 2;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()),
              ElementsAre(Line{warn, "requests refused: 2 " + code}));
  now.errors[0] = 5;
  now.uptime = 9;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()), IsEmpty());
  now.uptime = 10;
  EXPECT_THAT(narrator_.on_tick(now, TimePoint()),
              ElementsAre(Line{warn, "requests refused: 3 " + code}));
}

TEST(TellOfKey, SaysSoWhenABackendBeginsAndCeasesToAskForOne) {
  BackendRecord asking = backend(BackendState::kReady);
  EXPECT_THAT(tell_of_key(asking, false, false), IsEmpty());
  EXPECT_THAT(
      tell_of_key(asking, true, false),
      ElementsAre(
          Line{info,
               "gpu1 lists its models again: it needs no key, or takes the one that it is given"}));
  asking.keyed = true;
  EXPECT_THAT(tell_of_key(asking, false, true)[0].text, HasSubstr("will refuse every request"));
  EXPECT_THAT(tell_of_key(asking, false, false)[0].text, HasSubstr("It gets each client's own"));
}

TEST(TellAllLost, SaysWhetherWeGoOn) {
  EXPECT_THAT(tell_all_lost(false, 110), ElementsAre(Line{err, "no engine has started; stopping"}));
  EXPECT_THAT(tell_all_lost(true, 110)[0].text, HasSubstr("waits up to 110 s (hold_timeout)"));
}

TEST(TellMove, SaysNothingWithoutNews) {
  EXPECT_THAT(tell_move(backend(BackendState::kReady), ""), IsEmpty());
  EXPECT_THAT(tell_move(backend(BackendState::kReady), "is now at 10.0.0.2"),
              ElementsAre(Line{info, "engine gpu1 is now at 10.0.0.2"}));
}

TEST(TellStall, IsSilentAboutOneThatHasBeenTold) {
  const BackendRecord slow = backend(BackendState::kReady);
  EXPECT_THAT(tell_stall(slow, {.stuck = true, .again = true}), IsEmpty());
  EXPECT_THAT(tell_stall(slow, {.stuck = true, .inflight = 4})[0].text,
              HasSubstr("gpu1 (http://gpu1:8000) stands still: 4 prompts"));
  EXPECT_THAT(tell_stall(slow, {.stuck = false}), ElementsAre(Line{info, "gpu1 moves again"}));
}

TEST_F(NarratorTest, WaitsForEnginesThatMayFailLikeOneThatHas) {
  BackendRegistry registry(two_engines());
  for (const BackendId id : {BackendId{0}, BackendId{1}})
    registry.apply(id, BackendEvent::kLaunched);
  const EngineFailure failure{.how = "exit code 1", .reason = "exit code 1"};
  const auto fail = [&](BackendId id) {
    return narrator_.on_failed_start(registry[id], failure, {}, *registry.roster(), TimePoint());
  };
  EXPECT_THAT(fail(0), IsEmpty());
  EXPECT_THAT(fail(1),
              ElementsAre(Line{
                  err, "gpu1 and gpu2 did not start: exit code 1. They are not started again"}));
}

TEST_F(NarratorTest, TellsOnceOfEnginesThatEndTogether) {
  BackendRegistry registry(two_engines());
  for (const BackendId id : {BackendId{0}, BackendId{1}}) {
    registry.apply(id, BackendEvent::kLaunched);
    registry.apply(id, BackendEvent::kCameUp);
  }
  const EngineFailure failure{.how = "lost", .reason = "lost"};
  const auto exit = [&](BackendId id) {
    Lines lines = narrator_.on_exited(registry[id], failure, "a.log", Duration(1s),
                                      *registry.roster(), TimePoint());
    registry.apply(id, BackendEvent::kRestartPlanned);
    return lines;
  };
  EXPECT_THAT(exit(0), IsEmpty());
  EXPECT_THAT(exit(1), ElementsAre(Line{err,
                                        "gpu1 and gpu2 have ended: lost. They are started "
                                        "again in 1.0 s. The log of gpu1 is a.log"}))
      << "nobody else is up";
  registry.apply(0, BackendEvent::kLaunched);
  registry.apply(0, BackendEvent::kCameUp);
  narrator_.on_step(backend(BackendState::kStarting), registry[0], *registry.roster());
  EXPECT_THAT(exit(0), ElementsAre(Line{err,
                                        "gpu1 has ended, too: lost. It is started again in "
                                        "1.0 s. Its log is a.log"}))
      << "gpu2 still is down";
}

TEST_F(NarratorTest, SaysWhatItHasHeldBackBeforeItStops) {
  narrator_.on_delay(backend(BackendState::kStarting), "waits for its agent", TimePoint());
  EXPECT_THAT(narrator_.stop_serving(TimePoint()),
              ElementsAre(Line{warn, "gpu1 waits for its agent"}));
}

TEST_F(NarratorTest, TellsHowToStartAnEngineThatStaysDown) {
  EXPECT_THAT(narrator_.on_lost(backend(BackendState::kFailed)).front().text,
              HasSubstr("`batchproxy engines start gpu1`"));
}

}  // namespace
}  // namespace batchproxy
