// tests/jobs/progress_test.cc - what a run says of how far it has come.
#include "proxy/jobs/run/progress.h"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since) {
  return TimePoint{} + 1h + since;
}

std::vector<ItemOutcome> outcomes(int count, ItemState state, const std::string& backend) {
  ItemOutcome one;
  one.state = state;
  one.backend = backend;
  one.prompt_tokens = 9;
  one.completion_tokens = 1;
  return std::vector<ItemOutcome>(static_cast<std::size_t>(count), one);
}

TEST(RunProgress, IsALine) {
  RunProgress progress;
  progress.begin({3000, 1000, 0});
  progress.start(at(0s));
  EXPECT_EQ(progress.line(at(0s)), "1,000 of 4,000 answered");
  progress.sample(at(0s));
  for (int second = 1; second <= 10; ++second) {
    progress.add(outcomes(100, ItemState::kAnswered, second > 5 ? "a:1" : "b:1"));
    progress.sample(at(std::chrono::seconds(second)));
  }
  progress.add(outcomes(2, ItemState::kFailed, ""));
  EXPECT_EQ(progress.line(at(10s)),
            "2,000 of 4,000 answered · 100.2/s · 1,002 tokens/s · 2 failed · 19 s ± 0 s left");
  EXPECT_EQ(progress.shares(), " · a:1 50 %, b:1 50 %");
}

int columns_of(const std::string& text) {
  return static_cast<int>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

TEST(RunProgress, NeverTakesMoreThanItsColumns) {
  RunProgress progress;
  progress.begin({999'000, 1'000, 0});
  progress.start(at(0s));
  for (int second = 0; second <= 10; ++second) {
    progress.add(outcomes(100 + second, ItemState::kAnswered, "gpu-server-number-one:8000"));
    progress.sample(at(std::chrono::seconds(second)));
  }
  const std::string whole = progress.picture(at(10s), 500);
  EXPECT_EQ(whole.substr(0, 23), "[....................] ");
  for (int width = 0; width <= 200; ++width) {
    EXPECT_LE(columns_of(progress.picture(at(10s), width)), width);
  }
  EXPECT_EQ(progress.picture(at(10s), 24), "2,155 of 1,000,000 answe");
  EXPECT_EQ(progress.picture(at(10s), 40).substr(0, 20), "[.....] 2,155 of 1,0");
}

TEST(Duration, IsWords) {
  EXPECT_EQ(duration_words(59s), "59 s");
  EXPECT_EQ(duration_words(600s), "10 min");
  EXPECT_EQ(duration_words(61s), "1 min 1 s");
  EXPECT_EQ(duration_words(2h), "2 h");
  EXPECT_EQ(duration_words(2h + 5min), "2 h 5 min");
}

TEST(Pace, KnowsNothingWhileNothingGetsDone) {
  Pace pace;
  EXPECT_FALSE(pace.left(10));
  for (int second = 0; second < 10; ++second) pace.sample(at(std::chrono::seconds(second)), 5);
  EXPECT_FALSE(pace.left(10));
}

TEST(Pace, SpreadsWithItsRates) {
  Pace pace;
  std::int64_t done = 0;
  for (int second = 0; second < 17; ++second) {
    pace.sample(at(std::chrono::seconds(second)), done);
    done += second % 2 == 0 ? 150 : 50;
  }
  const auto left = pace.left(10'000);
  ASSERT_TRUE(left);
  EXPECT_EQ(left->time, 100s);
  // Rates of 100 ± 50, sixteen of them: the mean is known to 12.5 %.
  EXPECT_EQ(left->spread, Duration(12500ms));
}

TEST(DurationWords, AreShort) {
  EXPECT_EQ(duration_words(59s), "59 s");
  EXPECT_EQ(duration_words(200s), "3 min 20 s");
  EXPECT_EQ(duration_words(125min), "2 h 5 min");
}

}  // namespace
}  // namespace batchproxy
