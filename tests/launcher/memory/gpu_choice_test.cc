// tests/launcher/memory/gpu_choice_test.cc - which GPUs an engine gets.
#include "launcher/memory/gpu_choice.h"

#include <gtest/gtest.h>

#include "launcher/memory/model/memory_size.h"

namespace batchproxy {
namespace {

PlanGpu gpu(int index, std::int64_t free_gib, std::vector<int> neighbours = {}) {
  return {index, "", 80 * kGiB, free_gib * kGiB, std::move(neighbours)};
}

TEST(ChooseGpus, TakesThoseWithTheMostFreeMemory) {
  const PlanGpus gpus{gpu(0, 10), gpu(1, 70), gpu(2, 40), gpu(3, 78)};
  const GpuGroup group = choose_gpus(gpus, 2, 60 * kGiB);
  EXPECT_EQ(group.indices, (std::vector<int>{1, 3}));
  EXPECT_EQ(group.least.index, 1);
  EXPECT_FALSE(group.is_linked);
}

TEST(ChooseGpus, TakesNeighboursFirstIfTheyHaveEnough) {
  const PlanGpus gpus{gpu(0, 78, {1}), gpu(1, 70, {0}), gpu(2, 78, {3}), gpu(3, 66, {2})};
  const GpuGroup group = choose_gpus(gpus, 2, 60 * kGiB);
  EXPECT_EQ(group.indices, (std::vector<int>{0, 1}));
  EXPECT_TRUE(group.is_linked);
}

TEST(ChooseGpus, TakesMemoryBeforeNeighboursThatHaveTooLittle) {
  const PlanGpus gpus{gpu(0, 78, {1}), gpu(1, 20, {0}), gpu(2, 78)};
  EXPECT_EQ(choose_gpus(gpus, 2, 60 * kGiB).indices, (std::vector<int>{0, 2}));
}

TEST(ChooseGpus, TakesNoMoreThanThereAre) {
  EXPECT_EQ(choose_gpus({gpu(0, 10)}, 4, 0).indices, (std::vector<int>{0}));
  EXPECT_TRUE(choose_gpus({}, 4, 0).indices.empty());
}

std::vector<int> indices_of(const PlanGpus& gpus) {
  std::vector<int> indices;
  for (const PlanGpu& one : gpus) indices.push_back(one.index);
  return indices;
}

TEST(ArrangeGpus, LeavesGpusThatNobodyUsesInTheDriversOrder) {
  PlanGpus gpus{gpu(0, 79), gpu(1, 79), gpu(2, 79), gpu(3, 79)};
  gpus[3].free += 100 << 20;
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {2})), (std::vector<int>{0, 1, 2, 3}));
}

TEST(ArrangeGpus, LeavesTheOrderWhereAllAreNeeded) {
  const PlanGpus gpus{gpu(0, 10), gpu(1, 79), gpu(2, 79), gpu(3, 40)};
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {2, 2})), (std::vector<int>{0, 1, 2, 3}));
}

TEST(ArrangeGpus, GivesTheFirstEngineThoseWithTheMostFreeMemory) {
  const PlanGpus gpus{gpu(0, 10), gpu(1, 79), gpu(2, 79), gpu(3, 40)};
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {2})), (std::vector<int>{1, 2, 0, 3}));
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {1, 1})), (std::vector<int>{1, 2, 0, 3}));
}

TEST(ArrangeGpus, KeepsNeighboursTogether) {
  const PlanGpus gpus{gpu(0, 79, {2}), gpu(1, 79, {3}), gpu(2, 79, {0}), gpu(3, 79, {1})};
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {2, 2})), (std::vector<int>{0, 2, 1, 3}));
}

TEST(ArrangeGpus, LosesNoneWhenThereAreTooFew) {
  const PlanGpus gpus{gpu(0, 10), gpu(1, 79)};
  EXPECT_EQ(indices_of(arrange_gpus(gpus, {4, 1})), (std::vector<int>{0, 1}));
}

TEST(AssumedGpus, AreReadFromTheirNames) {
  const auto eight = assumed_gpus("8xH100-80GB");
  ASSERT_TRUE(eight);
  ASSERT_EQ(eight->size(), 8u);
  EXPECT_EQ((*eight)[7].index, 7);
  EXPECT_NEAR(to_gib((*eight)[0].total), 79.19, 0.001);
  EXPECT_EQ((*eight)[0].free, (*eight)[0].total);
  EXPECT_EQ(assumed_gpus("2x24GiB")->front().total, 24 * kGiB);
  EXPECT_EQ(assumed_gpus("H200-141GB")->size(), 1u);
  EXPECT_NEAR(to_gib(assumed_gpus("Odd-100GB")->front().total), 98.5, 0.001);
  for (const char* text : {"", "8", "x", "0x24GiB", "8xH100", "8x", "-1x24GiB", "2x-5GB"}) {
    EXPECT_FALSE(assumed_gpus(text)) << text;
  }
  EXPECT_EQ(assumed_gpus("many").error().reason,
            "--assume-gpus many: expected a count and a size, such as 8xH100-80GB or 2x24GiB");
}

}  // namespace
}  // namespace batchproxy
