// tests/sim/block_pool_test.cc - least recently released, first handed out.
#include "backends/sim/model/block_pool.h"

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

TEST(BlockPool, HandsOutTheBlockThatWasReleasedLongestAgo) {
  BlockPool pool(3);
  const BlockIndex a = pool.take();
  const BlockIndex b = pool.take();
  const BlockIndex c = pool.take();
  pool.release(b);
  pool.release(c);
  pool.release(a);
  EXPECT_EQ(pool.take(), b);
  EXPECT_EQ(pool.take(), c);
  EXPECT_EQ(pool.take(), a);
  EXPECT_EQ(pool.free(), 0);
}

TEST(BlockPool, AFreeBlockIsFoundUntilItIsHandedOutAgain) {
  BlockPool pool(1);
  const BlockIndex block = pool.take();
  pool.publish(block, 42);
  pool.release(block);
  EXPECT_EQ(pool.find(42), block);
  pool.take();
  EXPECT_EQ(pool.find(42), std::nullopt);
}

TEST(BlockPool, HoldingAFreeBlockTakesItOutOfTheFreeList) {
  BlockPool pool(2);
  const BlockIndex block = pool.take();
  pool.publish(block, 42);
  pool.release(block);
  pool.hold(block);
  EXPECT_EQ(pool.free(), 1);
  EXPECT_NE(pool.take(), block);
  EXPECT_EQ(pool.free(), 0);
}

TEST(BlockPool, ABlockIsFreeOnlyWhenItsLastHolderLetsGo) {
  BlockPool pool(1);
  const BlockIndex block = pool.take();
  pool.hold(block);
  pool.release(block);
  EXPECT_EQ(pool.free(), 0);
  pool.release(block);
  EXPECT_EQ(pool.free(), 1);
}

TEST(BlockPool, TheFirstBlockWithSomeContentIsTheOneThatIsFound) {
  BlockPool pool(2);
  const BlockIndex first = pool.take();
  const BlockIndex second = pool.take();
  pool.publish(first, 42);
  pool.publish(second, 42);
  EXPECT_EQ(pool.find(42), first);
  pool.release(second);
  pool.take();
  EXPECT_EQ(pool.find(42), first);
}

}  // namespace
}  // namespace batchproxy::sim
