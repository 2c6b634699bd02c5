// tests/backends/head_writer_test.cc - heads are whole, however long their pieces are.
#include "backends/http/head_writer.h"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace batchproxy::http {
namespace {

TEST(HeadWriter, PutsPiecesOneBehindTheOther) {
  std::string text = "before ";
  {
    HeadWriter head(text);
    const std::string owned = "owned";
    head.add("HTTP/1.1 ", 200u, " ", std::string_view("OK"), "\r\n");
    head.field("x", owned);
    head.field("length", std::numeric_limits<std::uint64_t>::max());
    head.add("", std::string_view(), 0u);
    EXPECT_EQ(head.text(),
              "before HTTP/1.1 200 OK\r\nx: owned\r\nlength: 18446744073709551615\r\n0");
  }
  EXPECT_EQ(text, "before HTTP/1.1 200 OK\r\nx: owned\r\nlength: 18446744073709551615\r\n0");
}

TEST(HeadWriter, MakesRoomForAnyPiece) {
  for (std::size_t size : {0u, 1u, 500u, 511u, 512u, 513u, 5000u, 100'000u}) {
    std::string text;
    {
      HeadWriter head(text);
      head.add("<", std::string(size, 'a'), ">");
      head.add(std::string(size, 'b'));
    }
    EXPECT_EQ(text, "<" + std::string(size, 'a') + ">" + std::string(size, 'b')) << size;
  }
}

TEST(HeadWriter, LeavesWhatItWasGivenWhenNothingIsAdded) {
  std::string text = "all";
  HeadWriter{text};
  EXPECT_EQ(text, "all");
}

}  // namespace
}  // namespace batchproxy::http
