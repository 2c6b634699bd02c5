// tests/backends/chunked_test.cc - the chunk decoder: any cut gives the same bytes, and malformed
// input is refused at any cut.
#include "backends/http/chunked.h"

#include <gtest/gtest.h>

namespace batchproxy::http {
namespace {

struct Decoded {
  std::string data;
  bool done = false;
  bool failed = false;
  std::size_t consumed = 0;
};

// Feeds `text` in pieces of `cut` bytes.
Decoded decode(std::string_view text, std::size_t cut) {
  ChunkDecoder decoder;
  Decoded out;
  for (std::size_t i = 0; i < text.size() && !decoder.done(); i += cut) {
    std::string_view piece = text.substr(i, cut);
    while (!piece.empty() && !decoder.done()) {
      const auto step = decoder.next(piece);
      if (!step) {
        out.failed = true;
        return out;
      }
      out.data += step->data;
      out.consumed += step->consumed;
      piece.remove_prefix(step->consumed);
    }
  }
  out.done = decoder.done();
  return out;
}

TEST(ChunkDecoder, GivesTheSameForEveryCut) {
  const std::string text =
      "5\r\nhello\r\n1;a=\"b\"\r\n \r\n000005\r\nworld\r\n0\r\nX: y\r\nZ: q\r\n\r\nNEXT";
  for (std::size_t cut = 1; cut <= text.size(); ++cut) {
    const Decoded decoded = decode(text, cut);
    EXPECT_EQ(decoded.data, "hello world") << cut;
    EXPECT_TRUE(decoded.done) << cut;
    EXPECT_EQ(decoded.consumed, text.size() - 4) << cut;
  }
}

TEST(ChunkDecoder, IsNotDoneBeforeTheLastLine) {
  EXPECT_FALSE(decode("5\r\nhello\r\n0\r\n", 1).done);
  EXPECT_FALSE(decode("5\r\nhel", 1).done);
}

class Malformed : public testing::TestWithParam<const char*> {};

TEST_P(Malformed, IsRefusedAtEveryCut) {
  const std::string_view text = GetParam();
  for (std::size_t cut = 1; cut <= text.size(); ++cut) {
    EXPECT_TRUE(decode(text, cut).failed) << text << " cut " << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(Bodies, Malformed,
                         testing::Values("\r\n", "x\r\n", "-1\r\n", "0x5\r\nhello\r\n", " 5\r\n",
                                         "5 \r\nhello\r\n", "1234567890123456\r\n", "5\nhello\r\n",
                                         "5\rhello", "5\r\nhelloX", "5\r\nhello\n", "5\r\nhello\rX",
                                         "1;\x01\r\n", "0\r\n bad: fold\r\n\r\n",
                                         "0\r\n: x\r\n\r\n", "0\r\nX\x01: y\r\n\r\n",
                                         "0\r\nX: y\n\r\n"));

TEST(ChunkDecoder, BoundsExtensionsAndTrailers) {
  EXPECT_TRUE(decode("1;" + std::string(300, 'a') + "\r\nx\r\n", 64).failed);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "1;" + std::string(200, 'a') + "\r\nx\r\n";
  EXPECT_TRUE(decode(many, 64).failed);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 17; ++i) trailers += "X: y\r\n";
  EXPECT_TRUE(decode(trailers + "\r\n", 64).failed);
  EXPECT_TRUE(decode("0\r\nX: " + std::string(9000, 'a') + "\r\n\r\n", 64).failed);
}

TEST(ChunkDecoder, TakesExtensionsOnlyAsTheyAreWritten) {
  for (const char* extension :
       {";a", ";a=b", " ; a = b ;c", ";a=\"q;\\\"q\"", ";a=\"\";b=1", "; name\t=\tvalue "}) {
    const std::string text = std::string("1") + extension + "\r\nx\r\n0\r\n\r\n";
    // A blank before the first semicolon is the size line's own: refused as before.
    if (extension[0] == ' ') {
      EXPECT_TRUE(decode(text, 1).failed) << text;
      continue;
    }
    EXPECT_FALSE(decode(text, 1).failed) << text;
  }
  for (const char* extension : {";", ";=b", ";a=", ";a=\"b", ";a b", ";a=b c", ";;", ";a=\"b\"c"}) {
    const std::string text = std::string("1") + extension + "\r\nx\r\n0\r\n\r\n";
    EXPECT_TRUE(decode(text, 1).failed) << text;
  }
}

}  // namespace
}  // namespace batchproxy::http
