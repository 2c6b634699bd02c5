// tests/proxy/trends_test.cc - Trends: rates of the last seconds, not since the start.
#include "proxy/metrics/trends.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

Snapshot at(double uptime) {
  Snapshot now;
  now.uptime = uptime;
  BackendSnapshot& engine = now.backends.emplace_back();
  engine.id = 3;
  engine.name = "engine-3";
  return now;
}

TEST(Trends, SayNothingBeforeTheFirstSample) {
  Snapshot now = at(1);
  Trends().fill(now);
  EXPECT_EQ(now.last_10s.answered, 0);
}

TEST(Trends, TellTheLastSecondsApartFromTheLastMinute) {
  Trends trends;
  Snapshot now = at(0);
  for (int second = 0; second <= 100; ++second) {
    now.uptime = second;
    const std::uint64_t rate = second <= 90 ? 10 : 20;
    now.received.add(rate);
    now.prompts_answered.add(rate);
    now.backends[0].answered.add(rate);
    now.backends[0].generation_tokens.add(rate * 100);
    now.errors[0].add(1);
    trends.add(now);
  }
  trends.fill(now);
  EXPECT_DOUBLE_EQ(now.last_10s.answered, 20);
  EXPECT_DOUBLE_EQ(now.last_10s.received, 20);
  EXPECT_DOUBLE_EQ(now.last_10s.errors, 1);
  EXPECT_DOUBLE_EQ(now.last_10s.tokens, 2000);
  EXPECT_DOUBLE_EQ(now.last_60s.answered, (50 * 10 + 10 * 20) / 60.0);
  EXPECT_DOUBLE_EQ(now.backends[0].trend.answers_10s, 20);
  EXPECT_DOUBLE_EQ(now.backends[0].trend.tokens_10s, 2000);
}

TEST(Trends, TellOfAllEnginesTogether) {
  Trends trends;
  Snapshot now = at(0);
  now.backends.emplace_back().id = 4;
  trends.add(now);
  now.uptime = 10;
  for (int i = 0; i < 99; ++i) now.backends[0].takes.observe(20ms);
  now.backends[0].answered = 99;
  now.backends[0].prefix_queries = 100;
  now.backends[0].prefix_hits = 10;
  now.backends[1].takes.observe(50s);
  now.backends[1].answered = 1;
  now.backends[1].prefix_queries = 300;
  now.backends[1].prefix_hits = 290;
  trends.fill(now);
  EXPECT_EQ(now.trend.answers, 100u);
  EXPECT_LT(now.trend.p95, 0.05);
  EXPECT_GT(now.backends[1].trend.p95, 40);
  EXPECT_DOUBLE_EQ(now.trend.answers_10s, 10);
  EXPECT_DOUBLE_EQ(now.trend.prefix_hits.value_or(0), 0.75);
}

TEST(Trends, KnowHowLongTheAnswersOfTheLastMinuteTook) {
  Trends trends;
  Snapshot now = at(0);
  trends.add(now);
  for (int i = 0; i < 1000; ++i) now.backends[0].takes.observe(10s);
  now.uptime = 1;
  trends.add(now);
  now.uptime = 100;
  for (int i = 0; i < 100; ++i) now.backends[0].takes.observe(20ms);
  now.backends[0].prefix_queries = 200;
  now.backends[0].prefix_hits = 50;
  trends.fill(now);
  const BackendTrend& trend = now.backends[0].trend;
  EXPECT_EQ(trend.answers, 100u) << "what came before that minute does not count";
  EXPECT_LE(trend.p95, 0.025);
  EXPECT_EQ(trend.prefix_hits, 0.25);
}

TEST(Trends, TakeAnEnginesCountersThatBeginAnewForWhatTheyAre) {
  Trends trends;
  Snapshot now = at(0);
  now.backends[0].generation_tokens = 1'000'000;
  trends.add(now);
  now.uptime = 10;
  now.backends[0].generation_tokens = 50;
  trends.fill(now);
  EXPECT_DOUBLE_EQ(now.backends[0].trend.tokens_10s, 5);
}

TEST(Trends, SayNothingOfABackendThatIsNew) {
  Trends trends;
  Snapshot now = at(0);
  trends.add(now);
  now.uptime = 5;
  now.backends[0].id = 4;
  now.backends[0].answered = 1000;
  trends.fill(now);
  EXPECT_EQ(now.backends[0].trend.answers_10s, 0);
}

}  // namespace
}  // namespace batchproxy
