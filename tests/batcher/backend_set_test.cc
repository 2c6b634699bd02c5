// tests/batcher/backend_set_test.cc - sets of backends, also beyond the first word of bits.
#include "batcher/base/backend_set.h"

#include <initializer_list>

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

TEST(BackendSet, FirstHoldsThoseBelowANumber) {
  for (const std::size_t n : {0u, 1u, 63u, 64u, 65u, 128u, 200u, 256u}) {
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
