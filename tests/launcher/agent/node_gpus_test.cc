// tests/launcher/agent/node_gpus_test.cc - whose choice an engine's GPUs are.
#include "launcher/agent/node_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

// Of names that no other test takes.
OrError<Gpus> four_gpus() {
  return Gpus{Gpu::by_uuid("GPU-node-gpus-test-a"), Gpu::by_uuid("GPU-node-gpus-test-b"),
              Gpu::by_uuid("GPU-node-gpus-test-c"), Gpu::by_uuid("GPU-node-gpus-test-d")};
}

OrError<Gpus> nobody_asked() {
  ADD_FAILURE() << "the driver was asked";
  return Gpus{};
}

TEST(NodeGpus, AreAsTheSchedulerHasChosenThem) {
  const auto chosen = choose_node_gpus(2, {{"CUDA_VISIBLE_DEVICES", "4,5"}}, nobody_asked);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->devices, "4,5");
  EXPECT_TRUE(chosen->leases.empty());
  EXPECT_EQ(choose_node_gpus(2, {{"ROCR_VISIBLE_DEVICES", "0,1"}}, nobody_asked)->devices, "0,1");
}

TEST(NodeGpus, AreNoneForWhoNeedsNone) {
  const auto chosen = choose_node_gpus(0, {{"CUDA_VISIBLE_DEVICES", "4,5"}}, nobody_asked);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->devices, "");
}

TEST(NodeGpus, AreTheFirstThatNobodyHas) {
  const auto first = choose_node_gpus(2, {}, four_gpus);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->devices, "GPU-node-gpus-test-a,GPU-node-gpus-test-b");
  EXPECT_EQ(first->leases.size(), 2u);
  {
    const auto second = choose_node_gpus(2, {}, four_gpus);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->devices, "GPU-node-gpus-test-c,GPU-node-gpus-test-d");
    const auto third = choose_node_gpus(2, {}, four_gpus);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().text,
              "it needs 2 GPUs, and of the 4 of this node 0 are free: start fewer engines, or name "
              "more nodes");
  }
  EXPECT_TRUE(choose_node_gpus(2, {}, four_gpus)) << "those of the second are back";
}

TEST(NodeGpus, AreTakenOfThoseThatAreVisible) {
  // More than it needs: not a choice for one engine.
  const auto chosen = choose_node_gpus(1, {{"CUDA_VISIBLE_DEVICES", "0,1,2,3"}}, four_gpus);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->devices, "GPU-node-gpus-test-a");
}

TEST(NodeGpus, SayWhyThereAreNone) {
  const auto none = choose_node_gpus(1, {}, [] { return OrError<Gpus>(LaunchError{"no driver"}); });
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().text, "no driver");
}

TEST(NodeGpus, SayWhatHelpsWhereNoDriverIs) {
  const auto none = choose_node_gpus(
      2, {}, [] { return visible_gpus({{"CUDA_VISIBLE_DEVICES", "0,1,2"}}, "libno-such.so"); });
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().text, testing::EndsWith("set CUDA_VISIBLE_DEVICES there to exactly as "
                                                   "many of them as it needs"));
  EXPECT_THAT(none.error().text, testing::Not(testing::HasSubstr("launcher.gpus")));
  // So it is obeyed.
  const auto told = choose_node_gpus(2, {{"CUDA_VISIBLE_DEVICES", "0,1"}}, nobody_asked);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->devices, "0,1");
}

}  // namespace
}  // namespace batchproxy
