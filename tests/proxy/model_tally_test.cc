// tests/proxy/model_tally_test.cc - counts by model, of names that clients choose.
#include "proxy/metrics/model_tally.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(ModelTally, KeepsOneCopyOfEachName) {
  ModelTally models;
  ModelCounts* const a = models.of("a");
  EXPECT_EQ(models.of("b")->name, "b");
  EXPECT_EQ(models.of("a"), a);
  EXPECT_EQ(models.of(""), nullptr);
  EXPECT_EQ(models.of(std::string(1000, 'x'))->name.size(), ModelTally::kLongest);
}

TEST(ModelTally, LetsWhatIsBeyondItsRoomShareOne) {
  ModelTally models;
  ModelCounts* const first = models.of("first");
  for (std::size_t i = 0; i < 2 * ModelTally::kMost; ++i) {
    models.of(std::to_string(i))->finished[Finish::kOk].add();
  }
  EXPECT_EQ(models.of("one more"), models.others());
  EXPECT_EQ(models.of("first"), first);
  std::size_t names = 0, counted = 0;
  models.for_each([&](const ModelCounts& counts) {
    ++names;
    counted += counts.finished[Finish::kOk];
  });
  EXPECT_EQ(names, ModelTally::kMost);
  EXPECT_EQ(counted, 2 * ModelTally::kMost);
  EXPECT_EQ(models.others()->name, "(others)");
  EXPECT_EQ(models.others()->finished[Finish::kOk].get(), ModelTally::kMost + 2);
}

}  // namespace
}  // namespace batchproxy
