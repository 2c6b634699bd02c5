// proxy/failure.h - what went wrong with a call or in the queue, as the error that a client gets.
//
// Threading: pure functions, any thread.
#pragma once

#include <string_view>

#include "backends/upstream_call.h"
#include "batcher/error.h"

namespace batchproxy {

Error error_of(CallFailure failure, std::string_view backend);
Error error_of(Errc refused);

}  // namespace batchproxy
