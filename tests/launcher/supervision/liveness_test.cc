// tests/launcher/supervision/liveness_test.cc - when an engine that runs is as good as dead.
#include "launcher/supervision/liveness.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint at(Duration since) {
  return TimePoint() + 1h + since;
}

TEST(Liveness, AnEngineThatStandsStillIsDeadAfterItsTime) {
  Liveness engine;
  EXPECT_FALSE(engine.is_dead(7, 120s, at(0s)));
  engine.set_stuck(true);
  EXPECT_FALSE(engine.is_dead(7, 120s, at(10s)));
  EXPECT_FALSE(engine.is_dead(7, 120s, at(129s)));
  EXPECT_TRUE(engine.is_dead(7, 120s, at(130s)));
}

TEST(Liveness, SoIsOneThatDoesNotAnswerItsProbe) {
  Liveness engine;
  engine.set_unready(true);
  engine.is_dead(0, 120s, at(0s));
  EXPECT_TRUE(engine.is_dead(0, 120s, at(120s)));
}

TEST(Liveness, AnyAnswerIsASignOfLife) {
  Liveness engine;
  engine.set_unready(true);
  for (int second = 0; second < 1000; second += 100) {
    EXPECT_FALSE(
        engine.is_dead(static_cast<std::uint64_t>(second), 120s, at(std::chrono::seconds(second))));
  }
}

TEST(Liveness, WhatHasPassedDoesNotCount) {
  Liveness engine;
  engine.set_stuck(true);
  engine.is_dead(0, 120s, at(0s));
  engine.set_stuck(false);
  engine.is_dead(0, 120s, at(100s));
  engine.set_stuck(true);
  EXPECT_FALSE(engine.is_dead(0, 120s, at(130s)));
  engine.start_anew();
  EXPECT_FALSE(engine.is_dead(0, 120s, at(500s)));
}

TEST(Liveness, OneThatNobodyWatchesIsDeadSoonOnceItDoesNotAnswer) {
  Liveness engine;
  engine.set_unwatched(true);
  EXPECT_FALSE(engine.is_dead(0, 120s, at(0s)));
  EXPECT_FALSE(engine.is_dead(0, 120s, at(1h))) << "it serves on";
  engine.set_unready(true);
  EXPECT_FALSE(engine.is_dead(0, 120s, at(1h)));
  EXPECT_FALSE(engine.is_dead(0, 120s, at(1h + 14s)));
  EXPECT_EQ(engine.patience(120s), 15s);
  EXPECT_TRUE(engine.is_dead(0, 120s, at(1h + 15s)));
  engine.set_unwatched(false);
  EXPECT_FALSE(engine.is_dead(0, 120s, at(1h + 16s))) << "its agent would tell";
}

TEST(Liveness, OneThatStandsStillHasAServerThatAnswers) {
  Liveness engine;
  engine.set_unwatched(true);
  engine.set_stuck(true);
  engine.is_dead(0, 120s, at(0s));
  EXPECT_FALSE(engine.is_dead(0, 120s, at(119s)));
  EXPECT_TRUE(engine.is_dead(0, 120s, at(120s)));
}

TEST(Liveness, AShorterTimeoutHoldsForOneThatNobodyWatches) {
  Liveness engine;
  engine.set_unwatched(true);
  engine.set_unready(true);
  engine.is_dead(0, 2s, at(0s));
  EXPECT_TRUE(engine.is_dead(0, 2s, at(2s)));
}

TEST(Liveness, ZeroMeansNever) {
  Liveness engine;
  engine.set_unwatched(true);
  engine.set_stuck(true);
  engine.is_dead(0, 0s, at(0s));
  EXPECT_FALSE(engine.is_dead(0, 0s, at(24h)));
  engine.set_unready(true);
  EXPECT_FALSE(engine.is_dead(0, 0s, at(48h)));
}

}  // namespace
}  // namespace batchproxy
