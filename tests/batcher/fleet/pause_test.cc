// tests/batcher/fleet/pause_test.cc - how long a backend is left alone.
#include "batcher/fleet/pause.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint() + 1h;

TEST(Pause, LastsAsLongAsWasAskedForButNeverTooLong) {
  Pause pause;
  pause.begin(2s, kStart);
  EXPECT_EQ(pause.until(), kStart + 2s);
  pause.begin(1s, kStart);
  EXPECT_EQ(pause.until(), kStart + 2s) << "a shorter one takes nothing back";
  pause.begin(1h, kStart);
  EXPECT_EQ(pause.until(), kStart + Pause::kLongest);
}

TEST(Pause, EndsWithTheServerThatAskedForIt) {
  Pause pause;
  pause.begin(2s, kStart);
  pause.end();
  EXPECT_LT(pause.until(), kStart);
}

TEST(Pause, DoublesWithEachRefusalUpToABound) {
  Pause pause;
  EXPECT_EQ(pause.after_refusals(), Pause::kAfterFull);
  pause.on_refusal();
  EXPECT_EQ(pause.after_refusals(), 2 * Pause::kAfterFull);
  for (int i = 0; i < 20; ++i) pause.on_refusal();
  EXPECT_EQ(pause.after_refusals(), 32 * Pause::kAfterFull);
  pause.on_taken();
  EXPECT_EQ(pause.after_refusals(), Pause::kAfterFull);
}

}  // namespace
}  // namespace batchproxy
