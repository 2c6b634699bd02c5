// batcher/base/time.h - the clock of the whole proxy: what a moment is, and what a while.
//
// Cores are told the time; only drivers read the clock.
//
// Threading: types only.
#pragma once

#include <chrono>

namespace batchproxy {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

}  // namespace batchproxy
