// tests/proxy/event_splitter_test.cc - what of a stream passes when.
#include "proxy/wire/event_splitter.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(EventSplitter, PassesWholeEventsAtOnce) {
  EventSplitter stream;
  EXPECT_EQ(stream.take("data: 1\n\n"), "data: 1\n\n");
  EXPECT_EQ(stream.take("data: 2\r\n\r\ndata: 3\r\n\r\n"), "data: 2\r\n\r\ndata: 3\r\n\r\n");
  EXPECT_EQ(stream.rest(), "");
}

TEST(EventSplitter, HoldsTheBeginningOfAnEventUntilItIsWhole) {
  EventSplitter stream;
  EXPECT_EQ(stream.take("data: 1\n\nda"), "data: 1\n\n");
  EXPECT_EQ(stream.take("ta: 2\n"), "");
  EXPECT_EQ(stream.rest(), "data: 2\n");
  EXPECT_EQ(stream.take("\nd"), "data: 2\n\n");
  EXPECT_EQ(stream.rest(), "d");
  EXPECT_TRUE(stream.between_events());
}

TEST(EventSplitter, KnowsEventsWhoseLinesEndInCrAlone) {
  EventSplitter stream;
  EXPECT_EQ(stream.take("data: 1\r\rdata: 2\r"), "data: 1\r\r");
  EXPECT_EQ(stream.take("\r"), "data: 2\r\r");
  EXPECT_TRUE(stream.between_events());
  EXPECT_EQ(stream.take("data: 3\r\n"), "");  // one line end, not two
}

TEST(EventSplitter, LosesNothingInAnyCut) {
  const std::string text =
      "data: {\"a\":1}\n\n: ping\n\ndata: b\r\n\r\ndata: c\r\rdata: [DONE]\n\n";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      EventSplitter stream;
      std::string passed;
      for (const auto& [begin, end] : {std::pair(std::size_t{0}, first), std::pair(first, second),
                                       std::pair(second, text.size())}) {
        passed += stream.take(std::string_view(text).substr(begin, end - begin));
      }
      EXPECT_EQ(passed, text);
    }
  }
}

TEST(EventSplitter, KnowsTheLastEventInAnyCut) {
  for (const std::string end : {"\n\n", "\r\n\r\n", "\r\r"}) {
    const std::string text = "data: {}" + end + "data: [DONE]" + end;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      EventSplitter stream;
      stream.take(std::string_view(text).substr(0, cut));
      stream.take(std::string_view(text).substr(cut));
      EXPECT_TRUE(stream.is_done()) << cut;
    }
  }
  EventSplitter stream;
  stream.take("data: x [DONE]\n\n");
  EXPECT_FALSE(stream.is_done()) << "words of the answer";
  stream.take("data: [DONE]");
  EXPECT_FALSE(stream.is_done()) << "not whole yet";
  stream.take("\n\ndata: more\n\n");
  EXPECT_FALSE(stream.is_done()) << "it was not the last";
}

TEST(EventSplitter, LetsAnEndlessEventPassAndSaysSo) {
  EventSplitter stream;
  const std::string much(EventSplitter::kMaxEvent + 1, 'x');
  EXPECT_EQ(stream.take(much), much);
  EXPECT_FALSE(stream.between_events());
  EXPECT_EQ(stream.take("\n\n"), "\n\n");
  EXPECT_TRUE(stream.between_events());
}

}  // namespace
}  // namespace batchproxy
