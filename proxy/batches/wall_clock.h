// proxy/batches/wall_clock.h - the time of day, as files and batches are dated.
//
// Threading: any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace batchproxy {

// Seconds since 1970.
inline std::int64_t seconds_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

}  // namespace batchproxy
