// batcher/base/flush_policy.h - FlushPolicy: by which rule waiting tickets leave.
//
// The word and the rule of each policy are its row in batcher/flush/flush_policies.h.
//
// Threading: values, any thread; the rules are constants without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace batchproxy {

class FlushRule;

enum class FlushPolicy : std::uint8_t { kEager, kFixed, kOff, kCount };

// The rule itself; see flush_rule.h.
const FlushRule& rule_of(FlushPolicy policy);

// The word of `policy`, as users write it.
std::string_view to_string(FlushPolicy policy);
// The policy of `word`; nothing when there is none.
std::optional<FlushPolicy> flush_policy_of(std::string_view word);

}  // namespace batchproxy
