// tests/jobs/run_core_test.cc - which question is asked next, in virtual time.
#include "proxy/jobs/run_core.h"

#include <chrono>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

TimePoint at(Duration since) {
  return TimePoint{} + 1h + since;
}

Question question(const std::string& key, const std::string& prompt) {
  return {key, "/v1/completions", fmt::format(R"({{"prompt":"{}"}})", prompt), false};
}

RunLimits limits(std::size_t in_flight) {
  RunLimits limits;
  limits.in_flight = in_flight;
  return limits;
}

ReplySeen status(unsigned code) {
  return {code, false, {}};
}
constexpr ReplySeen kUnreachable{0, false, {}};
constexpr ReplySeen kLost{0, true, {}};

std::vector<std::string> keys(RunCore& core, TimePoint now) {
  std::vector<std::string> found;
  while (auto ask = core.next(now)) found.push_back(ask->question.key);
  return found;
}

TEST(RunCore, AsksQuestionsThatBeginAlikeTogether) {
  RunCore core(limits(10));
  core.add(question("1", "passage b, first"));
  core.add(question("2", "passage a, first"));
  core.add(question("3", "passage b, second"));
  core.add(question("4", "passage a, second"));
  EXPECT_THAT(keys(core, at(0s)), ElementsAre("2", "4", "1", "3"));
}

TEST(RunCore, GoesOnUpwardsThenFromTheFront) {
  RunCore core(limits(1));
  core.add(question("m", "m"));
  auto ask = core.next(at(0s));
  ASSERT_TRUE(ask);
  core.add(question("a", "a"));
  core.add(question("z", "z"));
  core.on_reply(*ask, status(200), at(1s));
  ask = core.next(at(1s));
  EXPECT_EQ(ask->question.key, "z");
  core.on_reply(*ask, status(200), at(2s));
  EXPECT_EQ(core.next(at(2s))->question.key, "a");
}

TEST(RunCore, ReadsOnWhenHalfOfTheWindowIsEmptyAndStopsWhenItIsFull) {
  RunLimits few = limits(100);
  few.window = 4;
  RunCore core(few);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(core.is_full());
    core.add(question(std::to_string(i), "p"));
  }
  EXPECT_TRUE(core.is_full());
  EXPECT_FALSE(core.wants_questions());
  core.next(at(0s));
  EXPECT_FALSE(core.wants_questions());
  core.next(at(0s));
  EXPECT_TRUE(core.wants_questions());
}

TEST(RunCore, LargeQuestionsFillTheWindow) {
  RunLimits few = limits(1);
  few.window_bytes = 1000;
  RunCore core(few);
  core.add(question("1", std::string(2000, 'x')));
  EXPECT_TRUE(core.is_full());
  EXPECT_FALSE(core.wants_questions());
}

struct Row {
  unsigned status;
  AfterReply first;
};

TEST(RunCore, WhatAnAnswerMeans) {
  for (const Row& row : {
           Row{200, AfterReply::kAnswered},
           Row{400, AfterReply::kFailed},
           Row{401, AfterReply::kFailed},
           Row{404, AfterReply::kFailed},
           Row{408, AfterReply::kAgain},
           Row{413, AfterReply::kFailed},
           Row{422, AfterReply::kFailed},
           Row{429, AfterReply::kAgain},
           Row{500, AfterReply::kAgain},
           Row{502, AfterReply::kAgain},
           Row{503, AfterReply::kAgain},
           Row{504, AfterReply::kAgain},
       }) {
    RunCore core(limits(1));
    core.add(question("1", "p"));
    auto ask = core.next(at(0s));
    EXPECT_EQ(core.on_reply(*ask, status(row.status), at(1s)), row.first) << row.status;
  }
}

TEST(RunCore, AsksAgainLaterEachTimeAndGivesAQuestionUpAfterFiveAttempts) {
  RunCore core(limits(1));
  core.add(question("1", "p"));
  core.end_of_questions();
  TimePoint now = at(0s);
  Duration last{};
  for (int attempt = 1; attempt < 5; ++attempt) {
    auto ask = core.next(now);
    ASSERT_TRUE(ask);
    EXPECT_EQ(ask->attempt, attempt);
    EXPECT_EQ(core.on_reply(*ask, status(500), now), AfterReply::kAgain);
    EXPECT_FALSE(core.next(now));
    ASSERT_TRUE(core.next_due());
    EXPECT_GT(*core.next_due() - now, last);
    last = *core.next_due() - now;
    now = *core.next_due();
  }
  auto ask = core.next(now);
  EXPECT_EQ(core.on_reply(*ask, kLost, now), AfterReply::kFailed);
  EXPECT_TRUE(core.done());
}

TEST(RunCore, WaitsAsLongAsItIsAskedTo) {
  RunCore core(limits(1));
  core.add(question("1", "p"));
  auto ask = core.next(at(0s));
  core.on_reply(*ask, ReplySeen{429, false, Duration(7s)}, at(0s));
  EXPECT_EQ(core.next_due(), at(7s));
}

TEST(RunCore, AProxyThatIsAwayCostsNoAttemptAndIsTriedWithOneQuestion) {
  RunCore core(limits(3));
  for (const char* key : {"1", "2", "3"}) core.add(question(key, key));
  core.end_of_questions();
  std::vector<Ask> asks;
  while (auto ask = core.next(at(0s))) asks.push_back(*std::move(ask));
  ASSERT_EQ(asks.size(), 3u);
  for (Ask& ask : asks) core.on_reply(ask, kUnreachable, at(0s));
  ASSERT_TRUE(core.next_due());
  const TimePoint due = *core.next_due();
  EXPECT_GT(due, at(0s));
  auto probe = core.next(due);
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->attempt, 1);
  EXPECT_FALSE(core.next(due)) << "one at a time until it is back";
  core.on_reply(*probe, status(200), due);
  EXPECT_EQ(keys(core, due).size(), 2u);
}

TEST(RunCore, GivesUpWhenTheProxyIsAwayForItsPatience) {
  RunLimits limit = limits(1);
  limit.patience = 60s;
  RunCore core(limit);
  core.add(question("1", "p"));
  TimePoint now = at(0s);
  while (!core.gives_up(now) && now < at(1h)) {
    auto ask = core.next(now);
    ASSERT_TRUE(ask);
    EXPECT_EQ(core.on_reply(*ask, kUnreachable, now), AfterReply::kAgain);
    now = *core.next_due();
  }
  EXPECT_GE(now, at(60s));
  EXPECT_LE(now, at(66s));
}

TEST(RunCore, WaitsForAFullProxyWithoutLosingAttempts) {
  RunCore core(limits(1));
  core.add(question("1", "p"));
  TimePoint now = at(0s);
  for (int i = 0; i < 50; ++i) {
    auto ask = core.next(now);
    ASSERT_TRUE(ask);
    EXPECT_EQ(ask->attempt, 1);
    EXPECT_EQ(core.on_reply(*ask, ReplySeen{503, false, Duration(5s)}, now), AfterReply::kAgain);
    now = *core.next_due();
  }
  EXPECT_FALSE(core.gives_up(now));
  EXPECT_TRUE(core.gives_up(now + 10min));
}

TEST(RunCore, AQuestionThatAloneIsRefusedFailsInTheEnd) {
  RunCore core(limits(2));
  core.add(question("bad", "p"));
  TimePoint now = at(0s);
  AfterReply after = AfterReply::kAgain;
  while (after == AfterReply::kAgain && now < at(1h)) {
    auto bad = core.next(now);
    ASSERT_TRUE(bad);
    after = core.on_reply(*bad, status(503), now);
    core.add(question("good", "q"));
    auto good = core.next(now);
    ASSERT_TRUE(good && good->question.key == "good");
    core.on_reply(*good, status(200), now);
    EXPECT_FALSE(core.gives_up(now + 1min));
    if (core.next_due()) now = *core.next_due();
  }
  EXPECT_EQ(after, AfterReply::kFailed);
}

TEST(RunCore, AFullProxyGetsFewerAtATimeAndThenMoreAgain) {
  RunCore core(limits(100));
  for (int i = 0; i < 20'000; ++i) core.add(question(std::to_string(i), "p"));
  std::vector<Ask> asks;
  while (auto ask = core.next(at(0s))) asks.push_back(*std::move(ask));
  ASSERT_EQ(asks.size(), 100u);
  for (Ask& ask : asks) core.on_reply(ask, status(429), at(1s));
  asks.clear();
  while (auto ask = core.next(at(20s))) asks.push_back(*std::move(ask));
  EXPECT_EQ(asks.size(), 70u);
  for (int round = 0; round < 60; ++round) {
    for (Ask& ask : asks) core.on_reply(ask, status(200), at(21s));
    asks.clear();
    while (auto ask = core.next(at(21s))) asks.push_back(*std::move(ask));
  }
  EXPECT_GT(core.in_flight(), 90u);
}

TEST(RunCore, AsksNoMoreThanItsLimit) {
  RunLimits two = limits(10);
  two.questions = 2;
  RunCore core(two);
  for (int i = 0; i < 5; ++i) core.add(question(std::to_string(i), "p"));
  auto first = core.next(at(0s));
  auto second = core.next(at(0s));
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(core.next(at(0s)));
  core.on_reply(*first, status(200), at(1s));
  EXPECT_FALSE(core.done());
  core.on_reply(*second, status(200), at(1s));
  EXPECT_TRUE(core.done());
}

TEST(RunCore, AStopLetsWhatIsInFlightEnd) {
  RunCore core(limits(1));
  core.add(question("1", "p"));
  core.add(question("2", "p"));
  auto ask = core.next(at(0s));
  core.stop();
  EXPECT_FALSE(core.done());
  EXPECT_EQ(core.on_reply(*ask, status(200), at(1s)), AfterReply::kAnswered);
  EXPECT_TRUE(core.done());
  EXPECT_FALSE(core.next(at(1s)));
}

TEST(RetryAfter, IsANumberOfSeconds) {
  EXPECT_EQ(retry_after_in("5"), Duration(5s));
  EXPECT_EQ(retry_after_in("0"), Duration(0s));
  for (const char* text : {"", "-1", "5x", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999"}) {
    EXPECT_FALSE(retry_after_in(text)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
