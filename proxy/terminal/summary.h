// proxy/terminal/summary.h - what goes on, in one line for the console.
//
// Threading: pure function, any thread.
#pragma once

#include <cstdint>
#include <string>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {

enum class Period : std::uint8_t { kTenSeconds, kMinute };  // that rates are of

// "44 answers/s  0 queued  70 in flight  engine-0 20/s  engine-1 3.2/s (slow)"
std::string summary(const Snapshot& now, Period period);

}  // namespace batchproxy
