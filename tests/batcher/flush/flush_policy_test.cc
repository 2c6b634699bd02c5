// tests/batcher/flush/flush_policy_test.cc - each flush policy has a word and a rule of its own.
#include "batcher/base/flush_policy.h"

#include <set>

#include <gtest/gtest.h>

#include "batcher/base/enum_table.h"
#include "batcher/base/flush_rule.h"

namespace batchproxy {
namespace {

TEST(FlushPolicies, AreFoundByTheirWords) {
  for (const FlushPolicy policy : kAll<FlushPolicy>) {
    EXPECT_EQ(flush_policy_of(to_string(policy)), policy);
  }
  EXPECT_EQ(flush_policy_of("lazy"), std::nullopt);
}

TEST(FlushPolicies, HaveARuleEach) {
  std::set<const FlushRule*> rules;
  for (const FlushPolicy policy : kAll<FlushPolicy>) rules.insert(&rule_of(policy));
  EXPECT_EQ(rules.size(), kCountOf<FlushPolicy>);
}

TEST(FlushPolicies, OnlyEagerGoesByTheRoomOfBackends) {
  EXPECT_TRUE(rule_of(FlushPolicy::kEager).goes_by_room());
  EXPECT_FALSE(rule_of(FlushPolicy::kFixed).goes_by_room());
  EXPECT_FALSE(rule_of(FlushPolicy::kOff).goes_by_room());
}

}  // namespace
}  // namespace batchproxy
