// tests/configs/small_text_test.cc - what trim() and number_in() leave out and refuse, and where
// lines are wrapped.
#include <cstdint>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/text/columns.h"
#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

TEST(Trim, TakesBlanksFromBothEndsAndLeavesThoseWithin) {
  EXPECT_EQ(trim(" \ta b\t "), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\ta\r", " \r"), "\ta");
}

TEST(NumberIn, IsAllOfTheTextOrNothing) {
  EXPECT_EQ(number_in<int>("-12"), -12);
  EXPECT_EQ(number_in<double>("0.5"), 0.5);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "x"}) {
    EXPECT_EQ(number_in<int>(text), std::nullopt) << text;
  }
}

TEST(NumberIn, RefusesWhatTheTypeCannotHold) {
  EXPECT_EQ(number_in<std::uint16_t>("65535"), 65535);
  EXPECT_EQ(number_in<std::uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(number_in<std::uint16_t>("-1"), std::nullopt);
}

TEST(Wrapped, EndsLinesAtBlanks) {
  using testing::ElementsAre;
  EXPECT_THAT(wrapped("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(wrapped("one two three", 8), ElementsAre("one two", "three"));
  EXPECT_THAT(wrapped("one two three", 6), ElementsAre("one", "two", "three"));
  EXPECT_THAT(wrapped("one two", 7), ElementsAre("one two"));
  EXPECT_THAT(wrapped("", 7), ElementsAre(""));
}

TEST(Wrapped, CutsWordsThatAreTooLong) {
  using testing::ElementsAre;
  EXPECT_THAT(wrapped("abcdefgh", 3), ElementsAre("abc", "def", "gh"));
  EXPECT_THAT(wrapped("\u00e4\u00e4\u00e4\u00e4", 3), ElementsAre("\u00e4\u00e4\u00e4", "\u00e4"));
  EXPECT_THAT(wrapped("a b", 0), ElementsAre("a b"));
}

}  // namespace
}  // namespace batchproxy
