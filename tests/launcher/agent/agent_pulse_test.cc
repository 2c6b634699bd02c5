// tests/launcher/agent/agent_pulse_test.cc - how long an agent may be silent, in virtual time.
#include "launcher/agent/agent_pulse.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using Act = AgentPulse::Act;

std::string word_of(Act act) {
  switch (act) {
    case Act::kNothing:
      return "nothing";
    case Act::kAsk:
      return "ask";
    case Act::kTellSilent:
      return "silent";
    case Act::kTellBack:
      return "back";
    case Act::kTellUnheard:
      return "unheard";
    case Act::kTellUnfinished:
      return "unfinished";
    case Act::kGiveUp:
      return "give up";
  }
  return {};
}

// A driver without a clock: it looks whenever something is due, and notes what it has to do.
class AgentPulseTest : public testing::Test {
 protected:
  TimePoint now() const { return TimePoint() + 1h + now_; }

  void look() {
    for (Act act = pulse_.take(now()); act != Act::kNothing; act = pulse_.take(now())) {
      if (act == Act::kAsk && answers_) pulse_.on_heard(now());
      if (act == Act::kAsk && !tells_asking_) continue;
      const auto whole = std::chrono::duration_cast<std::chrono::seconds>(now_).count();
      told_.push_back(word_of(act) + " " + std::to_string(whole));
    }
  }

  void run_until(Duration end) {
    while (pulse_.next_due() <= TimePoint() + 1h + end) {
      ASSERT_GT(pulse_.next_due(), now()) << "it would spin";
      now_ = pulse_.next_due() - TimePoint() - 1h;
      look();
    }
    now_ = end;
  }

  // Nobody looks: we slept.
  void sleep_until(Duration end) { now_ = end; }

  // It answers, and goes on so.
  void wake() {
    answers_ = true;
    pulse_.on_heard(now());
    look();
  }

  void order(Duration time) {
    pulse_.on_order(now(), time);
    look();
  }

  Duration now_{};
  bool answers_ = true;
  bool tells_asking_ = false;
  AgentPulse pulse_{{}, TimePoint() + 1h};
  std::vector<std::string> told_;
};

TEST_F(AgentPulseTest, AsksEveryTwoSecondsAndTellsNothingOfOneThatAnswers) {
  tells_asking_ = true;
  pulse_.on_engine();
  run_until(7s);
  EXPECT_THAT(told_, ElementsAre("ask 2", "ask 4", "ask 6"));
  EXPECT_EQ(pulse_.silence(now()), std::nullopt);
  EXPECT_EQ(pulse_.end(), std::nullopt);
}

TEST_F(AgentPulseTest, SilenceIsToldOnceAndSoIsItsEnd) {
  pulse_.on_engine();
  run_until(9s);
  answers_ = false;
  run_until(14s);
  EXPECT_EQ(pulse_.silence(now()), std::nullopt) << "it was asked four seconds ago";
  run_until(1h);
  EXPECT_THAT(told_, ElementsAre("silent 15"));
  EXPECT_EQ(pulse_.silence(now()), 1h - 10s);
  wake();
  EXPECT_EQ(pulse_.silence(now()), std::nullopt);
  EXPECT_EQ(pulse_.last_silence(), 1h - 10s);
  run_until(2h);
  EXPECT_THAT(told_, ElementsAre("silent 15", "back 3600"));
  answers_ = false;
  run_until(3h);
  EXPECT_EQ(told_.size(), 3u) << "another silence is news";
}

TEST_F(AgentPulseTest, ABriefSilenceIsNoNews) {
  pulse_.on_engine();
  answers_ = false;
  run_until(6s);
  wake();
  run_until(1min);
  EXPECT_THAT(told_, ElementsAre());
}

TEST_F(AgentPulseTest, AnAgentWithAnEngineIsNeverGivenUpForItsSilenceAlone) {
  pulse_.on_engine();
  answers_ = false;
  run_until(24h);
  EXPECT_THAT(told_, ElementsAre("silent 7"));
}

TEST_F(AgentPulseTest, OneThatHasNoEngineYetIsGivenUp) {
  answers_ = false;
  run_until(1h);
  EXPECT_THAT(told_, ElementsAre("silent 7", "give up 122"));
}

TEST_F(AgentPulseTest, AnOrderThatIsNotAnsweredIsWaitedForShortly) {
  pulse_.on_engine();
  run_until(9s);
  answers_ = false;
  order(20s);
  EXPECT_EQ(pulse_.end(), now() + 15s);
  EXPECT_FALSE(pulse_.is_late(now()));
  run_until(1h);
  EXPECT_THAT(told_, ElementsAre("unheard 14", "give up 24"));
}

TEST_F(AgentPulseTest, OneThatHasHeardHasTheTimeOfItsOrderAndSomeMore) {
  pulse_.on_engine();
  order(20s);
  pulse_.on_heard(now());
  EXPECT_EQ(pulse_.end(), now() + 35s);
  run_until(24s);
  EXPECT_FALSE(pulse_.is_late(now()));
  run_until(1h);
  EXPECT_THAT(told_, ElementsAre("unfinished 25", "give up 35"));
}

TEST_F(AgentPulseTest, OneThatFallsSilentBehindAnOrderIsGivenUpSooner) {
  pulse_.on_engine();
  order(1h);
  pulse_.on_heard(now());
  run_until(9s);
  answers_ = false;
  run_until(2h);
  EXPECT_THAT(told_, ElementsAre("unheard 15", "give up 25"));
}

TEST_F(AgentPulseTest, ALineThatWasOnItsWayShowsNotThatAnOrderWasHeard) {
  pulse_.on_engine();
  answers_ = false;
  order(1h);
  pulse_.on_heard(now());
  run_until(2h);
  EXPECT_THAT(told_, ElementsAre("unheard 7", "give up 17"));
}

TEST_F(AgentPulseTest, OneThatHasBeenSilentForLongGetsLittleTimeForAnOrder) {
  pulse_.on_engine();
  answers_ = false;
  run_until(100s);
  order(20s);
  EXPECT_THAT(told_, ElementsAre("silent 7", "unheard 100")) << "this is known already";
  EXPECT_TRUE(pulse_.is_late(now()));
  run_until(1h);
  EXPECT_EQ(told_.back(), "give up 105");
}

TEST_F(AgentPulseTest, OneThatHearsTheOrderInTimeIsBackWithoutAWord) {
  pulse_.on_engine();
  answers_ = false;
  run_until(100s);
  order(20s);
  run_until(102s);
  wake();
  EXPECT_EQ(pulse_.end(), TimePoint() + 1h + 135s);
  run_until(120s);
  EXPECT_THAT(told_, ElementsAre("silent 7", "unheard 100"));
}

TEST_F(AgentPulseTest, AnotherOrderGivesOneThatHearsNothingNoMoreTime) {
  pulse_.on_engine();
  answers_ = false;
  order(20s);
  run_until(10s);
  order(0s);
  run_until(1h);
  EXPECT_EQ(told_.back(), "give up 15");
}

TEST_F(AgentPulseTest, OurOwnSleepIsNotItsSilence) {
  pulse_.on_engine();
  run_until(9s);
  answers_ = false;
  run_until(11s);  // it was asked at 10 s
  sleep_until(1h);
  look();
  EXPECT_THAT(told_, ElementsAre());
  run_until(1h + 1s);
  EXPECT_EQ(pulse_.silence(now()), std::nullopt);
  run_until(2h);
  EXPECT_EQ(told_.size(), 1u) << "it does not answer now either";
}

TEST_F(AgentPulseTest, NorIsItsTimeForAnOrderOver) {
  pulse_.on_engine();
  answers_ = false;
  order(20s);
  run_until(3s);
  sleep_until(1h);
  look();
  EXPECT_THAT(told_, testing::Not(testing::Contains("give up 3600")));
}

}  // namespace
}  // namespace batchproxy
