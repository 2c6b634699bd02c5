// batcher/base/flush_reason.h - why a batch left when it did. Logged and counted by these words.
//
// Threading: values, any thread.
#pragma once

#include <string_view>

#include "batcher/base/enum_table.h"

namespace batchproxy {

enum class FlushReason {
  kFull,      // it had reached batch_size
  kRoom,      // a backend had room
  kTimeout,   // its oldest member had waited batch_timeout
  kDeadline,  // a member would soon have run out of time
  kDrain,     // we are shutting down

  kCount  // of them; no reason
};

inline constexpr auto& kAllFlushReasons = kAll<FlushReason>;

std::string_view to_string(FlushReason reason);

}  // namespace batchproxy
