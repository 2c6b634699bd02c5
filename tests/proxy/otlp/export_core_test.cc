// tests/proxy/otlp/export_core_test.cc - which records go to a collector, when, and what follows
// from its answers, in virtual time.
#include "proxy/otlp/export_core.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

class ExportCoreTest : public testing::Test {
 protected:
  void add(std::size_t count) { core_.add(std::vector<RequestRecord>(count), now_); }
  // Sends what is due, which is answered with `status`. How many records that were.
  std::size_t send(unsigned status, std::optional<Duration> wait = {}) {
    const auto due = core_.due();
    EXPECT_TRUE(due && *due <= now_);
    const std::size_t sent = core_.next_batch().size();
    core_.on_answer({status, wait}, now_);
    return sent;
  }
  bool is_due() const {
    const auto due = core_.due();
    return due && *due <= now_;
  }

  ExportCore core_;
  TimePoint now_{std::chrono::hours(1)};
};

TEST_F(ExportCoreTest, WaitsAMomentForOthers) {
  EXPECT_FALSE(core_.due());
  add(3);
  EXPECT_EQ(*core_.due(), now_ + 1s);
  now_ += 1s;
  EXPECT_EQ(send(200), 3u);
  EXPECT_FALSE(core_.due());
  EXPECT_EQ(core_.sent(), 3u);
}

TEST_F(ExportCoreTest, SendsAFullBatchAtOnceAndNoMoreThanThat) {
  add(ExportCore::kMostAtOnce + 5);
  EXPECT_EQ(send(200), ExportCore::kMostAtOnce);
  EXPECT_FALSE(is_due());
  now_ += 1s;
  EXPECT_EQ(send(200), 5u);
}

TEST_F(ExportCoreTest, CountsNoMoreThanWasSent) {
  add(2);
  now_ += 1s;
  EXPECT_EQ(core_.next_batch().size(), 2u);
  add(3);  // meanwhile
  core_.on_answer({200}, now_);
  EXPECT_EQ(core_.sent(), 2u);
  EXPECT_EQ(core_.waiting(), 3u);
}

TEST_F(ExportCoreTest, TriesAgainLaterAndLater) {
  for (const unsigned status : {0u, 429u, 502u, 503u, 504u}) {
    EXPECT_TRUE(ExportCore::Answer{status}.may_come_again()) << status;
  }
  add(1);
  now_ += 1s;
  for (const Duration pause : {1s, 2s, 4s, 8s}) {
    send(503);
    EXPECT_EQ(*core_.due(), now_ + pause);
    now_ += pause;
  }
  EXPECT_EQ(send(200), 1u);
  EXPECT_EQ(core_.sent(), 1u);
  EXPECT_EQ(core_.dropped(), 0u);
}

TEST_F(ExportCoreTest, WaitsAsLongAsItIsAskedTo) {
  add(1);
  now_ += 1s;
  send(429, 17s);
  EXPECT_EQ(*core_.due(), now_ + 17s);
  now_ += 17s;
  send(429, std::chrono::hours(9));
  EXPECT_EQ(*core_.due(), now_ + ExportCore::kLongestAskedFor);
}

TEST_F(ExportCoreTest, DropsABatchThatIsNotTakenForAMinute) {
  add(ExportCore::kMostAtOnce + 1);
  const TimePoint began = now_;
  while (core_.dropped() == 0) {
    send(0);
    now_ = std::max(now_, *core_.due());
  }
  EXPECT_GE(now_ - began, ExportCore::kPatience);
  EXPECT_EQ(core_.dropped(), ExportCore::kMostAtOnce);
  EXPECT_EQ(core_.waiting(), 1u);
}

TEST_F(ExportCoreTest, DropsWhatIsRefused) {
  add(4);
  now_ += 1s;
  EXPECT_EQ(send(400), 4u);
  EXPECT_EQ(core_.dropped(), 4u);
  EXPECT_FALSE(core_.due());
}

TEST_F(ExportCoreTest, HoldsABoundedNumberAndDropsTheNewOnes) {
  add(ExportCore::kMostWaiting + 7);
  EXPECT_EQ(core_.waiting(), ExportCore::kMostWaiting);
  EXPECT_EQ(core_.dropped(), 7u);
  core_.add_lost(5);
  EXPECT_EQ(core_.dropped(), 12u);
}

TEST_F(ExportCoreTest, HurriesAtTheEndAndTriesNothingAgain) {
  add(ExportCore::kMostAtOnce + 2);
  core_.hurry();
  EXPECT_EQ(send(200), ExportCore::kMostAtOnce);
  EXPECT_EQ(send(503), 2u);
  EXPECT_FALSE(core_.due());
  EXPECT_EQ(core_.dropped(), 2u);
}

TEST_F(ExportCoreTest, ForgetsABatchThatNobodyWaitsForAnyMore) {
  add(2);
  now_ += 1s;
  core_.next_batch();
  core_.drop_all();
  core_.on_answer({200}, now_);
  EXPECT_EQ(core_.sent(), 0u);
  EXPECT_EQ(core_.dropped(), 2u);
}

TEST(ExportAnswer, IsReadAsTheStandardHasIt) {
  EXPECT_EQ(read_retry_after("3"), Duration(3s));
  EXPECT_EQ(read_retry_after(" 0.5 "), Duration(500ms));
  EXPECT_EQ(read_retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), std::nullopt);
  EXPECT_EQ(read_retry_after("-1"), std::nullopt);
  EXPECT_EQ(refused_part("{}"), "");
  EXPECT_EQ(refused_part(""), "");
  EXPECT_EQ(refused_part(R"({"partialSuccess":{}})"), "");
  EXPECT_EQ(refused_part(R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}})"),
            "it refused 3 spans: too old");
  EXPECT_EQ(refused_part(R"({"partialSuccess":{"rejectedSpans":2}})"),
            "it refused 2 spans: it does not say why");
}

}  // namespace
}  // namespace batchproxy
