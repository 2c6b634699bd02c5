// tests/proxy/status_feed_test.cc - StatusFeed: one picture a second for all who watch, and none
// for nobody.
#include "proxy/ui/status_feed.h"

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class StatusFeedTest : public testing::Test {
 protected:
  std::unique_ptr<StatusFeed::Stream> open() {
    return std::make_unique<StatusFeed::Stream>(feed_, [this] { ++news_; });
  }
  static std::vector<std::string> texts(StatusFeed::Stream& stream) {
    std::vector<std::string> all;
    for (const StatusFeed::Frame& frame : stream.take()) all.push_back(*frame);
    return all;
  }

  int composed_ = 0, searches_ = 0, news_ = 0;
  StatusFeed feed_{{.status = [this] { return "{\"n\":" + std::to_string(++composed_) + "}\n"; },
                    .history = [] { return std::string("{}"); },
                    .search_requests = [this] { ++searches_; }},
                   2};
};

TEST_F(StatusFeedTest, MakesNoPictureForNobody) {
  for (int second = 0; second < 100; ++second) feed_.tick();
  EXPECT_EQ(composed_, 0);
  EXPECT_EQ(searches_, 0);
}

TEST_F(StatusFeedTest, ShowsAPictureAtOnceToWhoeverComes) {
  const auto stream = open();
  EXPECT_TRUE(stream->has_news());
  EXPECT_THAT(texts(*stream),
              ElementsAre("event: history\ndata: {}\n\n", "id: 1\ndata: {\"n\":1}\n\n"));
  EXPECT_FALSE(stream->has_news());
  EXPECT_THAT(texts(*stream), IsEmpty());
}

TEST_F(StatusFeedTest, MakesOnePictureASecondForAll) {
  const auto one = open(), other = open();
  EXPECT_EQ(composed_, 1) << "who comes in the same second shares it";
  const auto first = one->take(), same = other->take();
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[1], same[1]) << "the same bytes, not a copy";
  feed_.tick();
  EXPECT_EQ(news_, 2);
  EXPECT_EQ(composed_, 2);
  EXPECT_EQ(feed_.pictures(), 2u);
  EXPECT_EQ(one->take(), other->take());
}

TEST_F(StatusFeedTest, ASlowReaderSkipsWhatItHasMissed) {
  const auto stream = open();
  stream->take();
  for (int second = 0; second < 50; ++second) feed_.tick();
  EXPECT_THAT(texts(*stream), ElementsAre("id: 51\ndata: {\"n\":51}\n\n"));
}

TEST_F(StatusFeedTest, KeepsNoPictureOfLongAgo) {
  open().reset();
  feed_.tick();
  const auto later = open();
  EXPECT_THAT(texts(*later),
              ElementsAre("event: history\ndata: {}\n\n", "id: 2\ndata: {\"n\":2}\n\n"));
}

TEST_F(StatusFeedTest, HasSoManyStreams) {
  auto one = open();
  EXPECT_TRUE(feed_.has_room());
  const auto other = open();
  EXPECT_FALSE(feed_.has_room());
  one.reset();
  EXPECT_TRUE(feed_.has_room());
  EXPECT_EQ(feed_.streams(), 1u);
}

TEST_F(StatusFeedTest, LooksForRequestsNowAndThenAndOnceAtATime) {
  const auto stream = open(), other = open();
  EXPECT_EQ(searches_, 1);
  for (int second = 0; second < 20; ++second) feed_.tick();
  EXPECT_EQ(searches_, 1) << "the first is still under way";
  feed_.tell_requests("[1]");
  stream->take();
  for (int second = 0; second < 10; ++second) feed_.tick();
  EXPECT_EQ(searches_, 2);
  stream->take();
  feed_.tell_requests("[1]");
  EXPECT_FALSE(stream->has_news()) << "the same again is no news";
  feed_.tell_requests("[2]");
  EXPECT_THAT(texts(*stream), ElementsAre("event: requests\ndata: [2]\n\n"));
}

TEST(EventText, KeepsLinesWithinTheEvent) {
  EXPECT_EQ(event_text("", 0, "a\n\nevent: b\n"), "data: a\ndata: \ndata: event: b\n\n");
  EXPECT_EQ(event_text("x", 7, ""), "event: x\nid: 7\ndata: \n\n");
}

}  // namespace
}  // namespace batchproxy
