// proxy/wire/client_error.h - what went wrong with a call to a backend, as the error that a client
// gets.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "backends/call/upstream_call.h"
#include "batcher/base/error.h"

namespace batchproxy {

// A sentence. What stands in the answer is for its client only, and not for the log.
std::string describe(const AnswerFault& fault, bool to_its_client);
// `fault`: of a kBadAnswer.
Error error_of(CallFailure failure, std::string_view backend, const AnswerFault& fault = {});

}  // namespace batchproxy
