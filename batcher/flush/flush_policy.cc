// batcher/flush/flush_policy.cc - see base/flush_policy.h.
#include "batcher/base/flush_policy.h"

#include <cstdlib>

#include "batcher/flush/flush_eager.h"
#include "batcher/flush/flush_fixed.h"
#include "batcher/flush/flush_off.h"

namespace batchproxy {

namespace {
constexpr FlushEager kEagerRule;
constexpr FlushFixed kFixedRule;
constexpr FlushOff kOffRule;
}  // namespace

const FlushRule& rule_of(FlushPolicy policy) {
  switch (policy) {
    case FlushPolicy::kEager:
      return kEagerRule;
    case FlushPolicy::kFixed:
      return kFixedRule;
    case FlushPolicy::kOff:
      return kOffRule;
  }
  std::abort();  // not one of the enumerators
}

std::string_view to_string(FlushPolicy policy) {
  return rule_of(policy).word();
}

std::optional<FlushPolicy> flush_policy_of(std::string_view word) {
  for (const FlushPolicy policy : kAllFlushPolicies) {
    if (to_string(policy) == word) return policy;
  }
  return std::nullopt;
}

}  // namespace batchproxy
