// batcher/base/flush_policy.h - FlushPolicy: by which rule waiting tickets leave; its word in a
// configuration, and the object that carries it out.
//
// A new policy is an enumerator here, a class of its own beside flush_eager.h, and its word among
// those of the key `flush` in configs/schema/options.h. The compiler demands the one line of
// rule_of().
//
// Threading: values, any thread; the rules are constants without state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace batchproxy {

class FlushRule;

enum class FlushPolicy : std::uint8_t { kEager, kFixed, kOff };

inline constexpr std::array kAllFlushPolicies = {FlushPolicy::kEager, FlushPolicy::kFixed,
                                                 FlushPolicy::kOff};

// The rule itself; see flush_rule.h.
const FlushRule& rule_of(FlushPolicy policy);

// Its word, as users write it.
std::string_view to_string(FlushPolicy policy);
// The policy of that word; nothing when there is none.
std::optional<FlushPolicy> flush_policy_of(std::string_view word);

}  // namespace batchproxy
