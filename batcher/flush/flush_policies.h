// batcher/flush/flush_policies.h - kFlushPolicies: the table of flush policies, one row each: the
// enumerator, its word in a configuration, and the rule that carries it out.
//
// A new policy is a class of its own beside flush_eager.h, its enumerator in base/flush_policy.h
// and its row here. The compiler refuses an enumerator without a row, and a row whose word the key
// `flush` (configs/schema/options.h) does not take.
//
// Threading: constants, any thread.
#pragma once

#include <string_view>

#include "batcher/base/enum_table.h"
#include "batcher/base/flush_policy.h"
#include "batcher/flush/flush_eager.h"
#include "batcher/flush/flush_fixed.h"
#include "batcher/flush/flush_off.h"

namespace batchproxy {

inline constexpr FlushEager kFlushEager;
inline constexpr FlushFixed kFlushFixed;
inline constexpr FlushOff kFlushOff;

struct FlushPolicyRow {
  FlushPolicy id{};
  std::string_view word{};
  const FlushRule* rule = nullptr;
};

inline constexpr EnumTable<FlushPolicyRow> kFlushPolicies({
    {FlushPolicy::kEager, "eager", &kFlushEager},
    {FlushPolicy::kFixed, "fixed", &kFlushFixed},
    {FlushPolicy::kOff, "off", &kFlushOff},
});

}  // namespace batchproxy
