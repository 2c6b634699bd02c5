// tests/launcher/outlook/room_test.cc - do engines fit on nodes?
#include "launcher/outlook/room.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(FitEngines, TellsTheNodesAndThatAllFit) {
  const Fit fit = fit_engines({2, 2, 2, 2, 2, 2, 2, 2}, {{"n1", 8}, {"n2", 8}});
  EXPECT_TRUE(fit.fits);
  EXPECT_EQ(fit.text, "2 nodes of 8 GPUs (n1, n2): 8 engines of 2 GPUs fit");
  EXPECT_EQ(fit_engines({1}, {{"n1", 1}}).text, "1 node of 1 GPU (n1): 1 engine of 1 GPU fits");
}

TEST(FitEngines, SharesOutUnequalOnesWhereThatIsPossible) {
  EXPECT_TRUE(fit_engines({2, 2, 4, 8}, {{"n1", 8}, {"n2", 8}}).fits);
  EXPECT_TRUE(fit_engines({1, 4, 3}, {{"n1", 4}, {"n2", 4}}).fits);
  EXPECT_EQ(fit_engines({4, 1}, {{"n1", 8}, {"n2", 4}}).text,
            "1 node of 8 GPUs, 1 node of 4 GPUs (n1, n2): 1 engine of 4 GPUs, 1 engine of 1 GPU "
            "fit");
}

TEST(FitEngines, SaysHowManyFindNoRoom) {
  const Fit fit = fit_engines({2, 2, 2, 2, 2}, {{"n1", 4}, {"n2", 5}});
  EXPECT_FALSE(fit.fits);
  EXPECT_EQ(fit.text,
            "1 node of 5 GPUs, 1 node of 4 GPUs (n1, n2): 5 engines of 2 GPUs do not all fit: 1 of "
            "them finds no room");
  EXPECT_EQ(fit_engines({2, 2, 2}, {{"n1", 3}}).text,
            "1 node of 3 GPUs (n1): 3 engines of 2 GPUs do not all fit: 2 of them find no room");
}

TEST(FitEngines, DoesNotHaveAnEngineSpanNodes) {
  const Fit fit = fit_engines({16}, {{"n1", 8}, {"n2", 8}});
  EXPECT_FALSE(fit.fits);
  EXPECT_EQ(fit.text,
            "2 nodes of 8 GPUs (n1, n2): no node has 16 GPUs, and an engine does not span nodes");
  EXPECT_FALSE(fit_engines({1}, {}).fits);
}

TEST(FitEngines, NeedsNoGpusForEnginesWithoutThem) {
  const Fit fit = fit_engines({0, 0}, {{"n1", 0}});
  EXPECT_TRUE(fit.fits);
  EXPECT_EQ(fit.text, "1 node without GPUs (n1): 2 engines without GPUs fit");
  EXPECT_FALSE(fit_engines({0}, {}).fits) << "but a node";
}

TEST(SomeOf, ListsTheFirst) {
  EXPECT_EQ(some_of({"a", "b"}), "a, b");
  EXPECT_EQ(some_of({"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}),
            "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
}

}  // namespace
}  // namespace batchproxy
