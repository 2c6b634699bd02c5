// tests/launcher/diagnosis/shape_test.cc - sentences with holes.
#include "launcher/diagnosis/shape.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Shape, FindsNumbersAndTexts) {
  const auto found =
      match("x: 476,016 tokens of 'org/m' at -0.5 GiB.", "x: # tokens of '@' at # GiB");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->count, 2U);
  EXPECT_EQ(found->numbers[0], 476016);
  EXPECT_EQ(found->numbers[1], -0.5);
  EXPECT_EQ(found->text, "org/m");
}

TEST(Shape, AFullStopBehindANumberIsNone) {
  EXPECT_EQ(match("is 9936. Try", "is #")->numbers[0], 9936);
  EXPECT_EQ(match("is 5.", "is #.")->numbers[0], 5);
}

TEST(Shape, TriesEachPlaceWhereItsBeginningStands) {
  EXPECT_EQ(match("size (x), size (7)", "size (#)")->numbers[0], 7);
  EXPECT_FALSE(match("size (x), size ()", "size (#)"));
}

TEST(Shape, AHoleInTheMiddleMayBeEmpty) {
  EXPECT_EQ(match("device (3/4 GiB)", "device *(#/# GiB)")->numbers[1], 4);
  EXPECT_EQ(match("device cuda:1 (3/4 GiB)", "device *(#/# GiB)")->numbers[1], 4);
  EXPECT_EQ(match("unit GB", "unit G*B")->end, 7U);
}

TEST(Shape, AHoleAtTheEndTakesTheRest) {
  EXPECT_EQ(match("ImportError: no module", "ImportError: @")->text, "no module");
}

TEST(Shape, IsNotFoundWhereAPartIsMissing) {
  EXPECT_FALSE(match("", "a"));
  EXPECT_FALSE(match("abc", "abcd"));
  EXPECT_FALSE(match("a 1 b", "a # c"));
  EXPECT_FALSE(match("a 1", "a # b"));
}

}  // namespace
}  // namespace batchproxy
