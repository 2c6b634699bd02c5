// bench/policy/bound.h - what no policy can exceed on given servers: min(W / (R0 + Z), sum of X_b).
//
// R0 is what a lone request takes, Z the time that a worker thinks, X_b the rate of server b when
// it is saturated; both with every prefix hit that the workload allows. X_b takes every step to be
// alike, so it is good to some percent only.
//
// Threading: pure functions.
#pragma once

#include <span>

#include "bench/policy/workload.h"
#include "bench/policy/world.h"

namespace batchproxy::bench {

// Requests per second.
double throughput_bound(const WorldOptions& options, std::span<const PromptRequest> requests);

}  // namespace batchproxy::bench
