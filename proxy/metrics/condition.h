// proxy/metrics/condition.h - Condition: how a backend fares, in one word and a sentence, and what
// waiting requests wait for. What people should see at a glance.
//
// Threading: pure functions over values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "batcher/base/enum_table.h"

namespace batchproxy {

struct BackendSnapshot;
struct Snapshot;

enum class Condition : std::uint8_t {
  kFine,
  kQuiet,     // no byte has come of what it has, for longer than its answers usually take
  kSlow,      // its answers take far longer than those of others like it
  kStuck,     // it stands still with requests in hand
  kFailing,   // its calls fail
  kUntended,  // its agent is silent; it serves on
  kLoading,   // an engine of ours that is not there yet, or not again
  kPaused,    // by an operator
  kStopping,  // by an operator; its process may not have ended
  kStopped,   // by an operator, who ended its process
  kDown,      // it is not there

  kCount
};
std::string_view to_string(Condition condition);

// Says of each backend of `now`, whose trends are there, how it fares, and of the requests that
// wait what they wait for.
void judge(Snapshot& now);

// "10 prompts without a byte for 31 s"
std::string silence_of(const BackendSnapshot& backend);

}  // namespace batchproxy
