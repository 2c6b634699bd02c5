// tests/configs/small_text_test.cc - what trim() and number_in() leave out and refuse.
#include <cstdint>
#include <optional>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace batchproxy
