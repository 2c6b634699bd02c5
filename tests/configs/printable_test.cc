// tests/configs/printable_test.cc - nothing of others commands a terminal or begins a line.
#include "configs/text/printable.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(printable("Größe: 3 µm \"x\" \\n"), "Größe: 3 µm \"x\" \\n");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, WritesControlCharactersAsText) {
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(printable("\x1b[31m\x7f"), "\\x1b[31m\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, KnowsTheControlsAboveAscii) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");
  EXPECT_EQ(printable("\xc2"), "\xc2");
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");
}

}  // namespace
}  // namespace batchproxy
