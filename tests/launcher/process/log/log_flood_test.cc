// tests/launcher/process/log/log_flood_test.cc - what of a flood of lines reaches the log.
#include "launcher/process/log/log_flood.h"

#include <algorithm>
#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr TimePoint kNow{std::chrono::hours(1)};

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// "0\n1\n ..."
std::string numbers(std::uint64_t count) {
  std::string all;
  for (std::uint64_t i = 0; i < count; ++i) all += std::to_string(i) + "\n";
  return all;
}

TEST(LogFlood, LetsThroughWhatIsNone) {
  LogFlood flood;
  EXPECT_EQ(flood.pass("one\ntwo\n\n\nthree\n", kNow), "one\ntwo\n\n\nthree\n");
  EXPECT_EQ(flood.due(), std::nullopt);
  EXPECT_EQ(flood.rest(), "");
}

TEST(LogFlood, ALineThatHasNotEndedIsNotHeldBack) {
  LogFlood flood;
  EXPECT_EQ(flood.pass("Loading:  10%", kNow), "Loading:  10%");
  EXPECT_EQ(flood.pass("\rLoading:  2", kNow), "\rLoading:  2");
  EXPECT_EQ(flood.pass("0%\n", kNow), "0%\n");
  EXPECT_EQ(flood.due(), std::nullopt);
}

TEST(LogFlood, CountsTheSameLine) {
  LogFlood flood;
  EXPECT_EQ(flood.pass(repeated("again\n", 10), kNow), repeated("again\n", 3));
  EXPECT_EQ(flood.pass("other\n", kNow), "batchproxy: … 7 more like this\nother\n");
  EXPECT_EQ(flood.rest(), "");
}

TEST(LogFlood, TellsOfTheSameLineOnceAMinuteWhileItGoesOnAndAtItsEnd) {
  LogFlood flood;
  flood.pass(repeated("again\n", 10), kNow);
  EXPECT_EQ(flood.due(), kNow + LogFlood::kTellAgain);
  EXPECT_EQ(flood.pass("again\n", kNow + seconds(59)), "");
  EXPECT_EQ(flood.pass("", kNow + seconds(60)), "batchproxy: … 8 more like this\n");
  EXPECT_EQ(flood.due(), std::nullopt);
  EXPECT_EQ(flood.pass("again\nagain\n", kNow + seconds(61)), "");
  EXPECT_EQ(flood.rest(), "batchproxy: … 2 more like this\n");
}

TEST(LogFlood, HoldsBackWhatMayBeTheSameLineForASecond) {
  LogFlood flood;
  flood.pass(repeated("again\n", 4), kNow);
  EXPECT_EQ(flood.pass("aga", kNow), "");
  EXPECT_EQ(flood.pass("in\n", kNow), "") << "it was";
  EXPECT_EQ(flood.pass("aga", kNow), "");
  EXPECT_EQ(flood.due(), kNow + seconds(1));
  EXPECT_EQ(flood.pass("", kNow + seconds(1)), "batchproxy: … 2 more like this\naga");
  EXPECT_EQ(flood.pass("pe\n", kNow + seconds(1)), "pe\n");
}

TEST(LogFlood, LeavesOutLinesBeyondSoManyASecondButForTheLast) {
  LogFlood flood;
  const std::uint64_t all = LogFlood::kMostLines + 50'000;
  EXPECT_EQ(flood.pass(numbers(all), kNow), numbers(LogFlood::kMostLines));
  EXPECT_EQ(flood.due(), kNow + seconds(1));
  const std::string rest = flood.pass("next\n", kNow + seconds(1));
  EXPECT_THAT(rest, StartsWith("batchproxy: … 49900 lines left out"));
  EXPECT_THAT(rest, HasSubstr("\n51900\n"));
  EXPECT_THAT(rest, Not(HasSubstr("\n51899\n")));
  EXPECT_THAT(rest, EndsWith("\n51999\nnext\n"));
  EXPECT_EQ(flood.due(), std::nullopt);
}

TEST(LogFlood, AnEnginesLastWordsAreKept) {
  LogFlood flood;
  flood.pass(numbers(LogFlood::kMostLines + 500) + "OutOfMemoryError: no more", kNow);
  EXPECT_THAT(flood.rest(), EndsWith("\n2499\nOutOfMemoryError: no more"));
}

TEST(LogFlood, CutsALineWithoutEnd) {
  LogFlood flood;
  std::string written;
  for (int i = 0; i < 100; ++i) written += flood.pass(std::string(100'000, 'x'), kNow);
  written += flood.pass("\nnext\n", kNow);
  EXPECT_LE(written.size(), LogFlood::kLongestLine + 100);
  EXPECT_THAT(written, EndsWith(" … 9983616 bytes more\nnext\n"));
}

}  // namespace
}  // namespace batchproxy
