// tests/proxy/summary_test.cc - what goes on, in one line.
#include "proxy/terminal/summary.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Summary, TellsRatesOfThePeriodAndWhoeverIsNotFine) {
  Snapshot now;
  now.prompts_answered = 2749;
  now.last_10s.answered = 44.2;
  now.last_60s.answered = 50;
  now.inflight = 70;
  for (const char* name : {"engine-0", "engine-1", "engine-2"}) {
    now.backends.emplace_back().name = name;
    now.backends.back().trend = {.answers_10s = 20, .answers_60s = 25};
  }
  now.backends[1].condition = Condition::kSlow;
  now.backends[2].condition = Condition::kDown;
  now.backends[2].trend = {};
  EXPECT_EQ(summary(now, Period::kTenSeconds),
            "2749 answers  44/s  0 queued  70 in flight  engine-0 20/s engine-1 20/s (slow) "
            "engine-2 0/s (down)");
  now.queued = 3;
  now.waiting_for = "room";
  EXPECT_EQ(summary(now, Period::kMinute),
            "2749 answers  50/s  3 queued  70 in flight  engine-0 25/s engine-1 25/s (slow) "
            "engine-2 0/s (down)  waiting for room");
}

TEST(Summary, NamesOfManyEnginesOnlyThoseThatAreNotFine) {
  Snapshot now;
  for (int i = 0; i < 200; ++i) now.backends.emplace_back().name = "engine-" + std::to_string(i);
  EXPECT_EQ(summary(now, Period::kMinute),
            "0 answers  0/s  0 queued  0 in flight  200 of 200 engines fine");
  now.backends[70].condition = Condition::kSlow;
  now.backends[199].condition = Condition::kDown;
  EXPECT_EQ(summary(now, Period::kMinute),
            "0 answers  0/s  0 queued  0 in flight  198 of 200 engines fine engine-70 (slow) "
            "engine-199 (down)");
  for (int i = 0; i < 50; ++i)
    now.backends[static_cast<std::size_t>(i)].condition = Condition::kLoading;
  EXPECT_EQ(summary(now, Period::kMinute),
            "0 answers  0/s  0 queued  0 in flight  148 of 200 engines fine engine-0 (loading) "
            "engine-1 (loading) engine-2 (loading) engine-3 (loading) and 48 more");
}

}  // namespace
}  // namespace batchproxy
