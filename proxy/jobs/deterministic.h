// proxy/jobs/deterministic.h - whether a request may be answered with what was answered before.
//
// Threading: any thread.
#pragma once

#include <string_view>

namespace batchproxy {

// One that asks for the likeliest tokens (temperature 0) or says its seed, and takes its answer
// whole. False for a body that is no such JSON.
bool is_deterministic(std::string_view body);

}  // namespace batchproxy
