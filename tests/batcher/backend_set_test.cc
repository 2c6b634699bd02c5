// tests/batcher/backend_set_test.cc - sets of backends, also beyond the first word of bits.
#include "batcher/base/backend_set.h"

#include <initializer_list>
#include <ranges>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

BackendSet of(std::initializer_list<BackendId> ids) {
  BackendSet set;
  for (const BackendId id : ids) set.insert(id);
  return set;
}

TEST(BackendSet, HoldsWhatWasInsertedAndNothingElse) {
  const BackendSet set = of({0, 63, 64, 70, 255});
  EXPECT_EQ(set.size(), 5u);
  for (BackendId id = 0; id < BackendSet::kMax; ++id) {
    const bool inserted = id == 0 || id == 63 || id == 64 || id == 70 || id == 255;
    EXPECT_EQ(set.contains(id), inserted) << id;
  }
}

TEST(BackendSet, ForgetsWhatIsErased) {
  BackendSet set = of({6, 70});
  set.erase(70);
  EXPECT_EQ(set, of({6}));
  set.erase(6);
  EXPECT_TRUE(set.empty());
}

constexpr BackendId kEdges[] = {0, 1, 62, 63, 64, 65, 126, 127, 128, 129, 191, 192, 254, 255};

TEST(BackendSet, KnowsEachMemberAtTheEdgesOfItsWords) {
  for (const BackendId id : kEdges) {
    BackendSet set = of({id});
    EXPECT_EQ(set.size(), 1u) << id;
    EXPECT_FALSE(set.empty()) << id;
    EXPECT_EQ(*set.begin(), id);
    for (const BackendId other : kEdges) EXPECT_EQ(set.contains(other), other == id) << other;
    EXPECT_EQ(BackendSet::first(id + 1) - BackendSet::first(id), set) << id;
    set.erase(id);
    EXPECT_TRUE(set.empty()) << id;
  }
}

TEST(BackendSet, IsWalkedOverInOrder) {
  std::vector<BackendId> walked;
  BackendSet set;
  for (const BackendId id : kEdges | std::views::reverse) set.insert(id);
  for (const BackendId id : set) {
    walked.push_back(id);
    set.erase(id);  // it has been passed
  }
  EXPECT_THAT(walked, testing::ElementsAreArray(kEdges));
  EXPECT_TRUE(set.empty());
  for (const BackendId id : BackendSet()) ADD_FAILURE() << id << " is in none";
  BackendId next = 0;
  for (const BackendId id : BackendSet::first(BackendSet::kMax)) EXPECT_EQ(id, next++);
  EXPECT_EQ(next, BackendSet::kMax);
}

TEST(BackendSet, FirstHoldsThoseBelowANumber) {
  for (const std::size_t n : {0u, 1u, 63u, 64u, 65u, 127u, 128u, 129u, 200u, 255u, 256u}) {
    const BackendSet set = BackendSet::first(n);
    EXPECT_EQ(set.size(), n);
    EXPECT_TRUE(n == 0 || set.contains(static_cast<BackendId>(n - 1))) << n;
    EXPECT_TRUE(n == BackendSet::kMax || !set.contains(static_cast<BackendId>(n))) << n;
  }
}

TEST(BackendSet, JoinsAndParts) {
  const BackendSet a = of({1, 65, 130}), b = of({65, 131});
  EXPECT_EQ(a & b, of({65}));
  EXPECT_EQ(a | b, of({1, 65, 130, 131}));
  EXPECT_EQ(a - b, of({1, 130}));
}

static_assert(BackendSet::first(70).contains(69) && !BackendSet::first(70).contains(70));

}  // namespace
}  // namespace batchproxy
