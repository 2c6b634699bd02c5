// tests/batcher/turns/sharing_test.cc - what prompts that begin alike ask of the backends.
#include "batcher/turns/sharing.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Sharing, CountsWhatWaitsOrIsInFlightByBeginning) {
  Sharing sharing;
  sharing.on_submitted(1, 2);
  sharing.on_submitted(1, 3);
  sharing.on_submitted(2, 1);
  sharing.on_submitted(0, 9);
  EXPECT_EQ(sharing.demand(1), 5u);
  EXPECT_EQ(sharing.demand(2), 1u);
  EXPECT_EQ(sharing.demand(0), 0u) << "no beginning";
  sharing.on_ended(1, 2);
  EXPECT_EQ(sharing.demand(1), 3u);
  sharing.on_ended(1, 3);
  sharing.on_ended(0, 9);
  EXPECT_EQ(sharing.demand(1), 0u);
}

TEST(Sharing, IsCommonOnceAGoodPartOfThePromptsBeginAlikeAndNoLongerWhenTheyDoNot) {
  Sharing sharing;
  EXPECT_FALSE(sharing.is_common());
  for (int i = 0; i < 200; ++i) sharing.on_submitted(i % 2 == 0 ? 1 : 0, 1);
  EXPECT_TRUE(sharing.is_common());
  for (int i = 0; i < 200; ++i) sharing.on_submitted(0, 1);
  EXPECT_FALSE(sharing.is_common());
}

TEST(Sharing, ForgetsWhereBeginningsWerePlaced) {
  Sharing sharing;
  for (int i = 0; i < 8; ++i) sharing.on_sent(0, true);
  for (int i = 0; i < 2000; ++i) sharing.on_sent(1, false);
  for (int i = 0; i < 2; ++i) sharing.on_sent(1, true);
  EXPECT_GT(sharing.placed(1), sharing.placed(0)) << "two of late count more than eight of old";
  for (int i = 0; i < 1000000; ++i) sharing.on_sent(i % 2 == 0 ? 0 : 1, true);
  EXPECT_NEAR(sharing.placed(0) / sharing.placed(1), 1, 0.01) << "however many there were";
}

TEST(Sharing, ABackendThatComesBackStartsLevelWithTheOneThatHasTheFewest) {
  Sharing sharing;
  for (int i = 0; i < 10; ++i) sharing.on_sent(0, true);
  for (int i = 0; i < 5; ++i) sharing.on_sent(1, true);
  BackendSet up = BackendSet::first(2);
  sharing.on_emptied(3, up);
  EXPECT_EQ(sharing.placed(3), sharing.placed(1)) << "backend 2 was never there: it does not count";
  sharing.on_emptied(0, up);
  EXPECT_EQ(sharing.placed(0), sharing.placed(1));
  sharing.on_emptied(0, {});
  EXPECT_EQ(sharing.placed(0), 0) << "there is no other";
}

}  // namespace
}  // namespace batchproxy
