// batcher/flush/flush_policy.cc - see base/flush_policy.h.
#include "batcher/base/flush_policy.h"

#include "batcher/flush/flush_policies.h"

namespace batchproxy {

const FlushRule& rule_of(FlushPolicy policy) {
  return *kFlushPolicies[policy].rule;
}

std::string_view to_string(FlushPolicy policy) {
  return kFlushPolicies[policy].word;
}

std::optional<FlushPolicy> flush_policy_of(std::string_view word) {
  for (const FlushPolicyRow& row : kFlushPolicies) {
    if (row.word == word) return row.id;
  }
  return std::nullopt;
}

}  // namespace batchproxy
