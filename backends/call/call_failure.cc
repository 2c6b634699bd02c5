// backends/call/call_failure.cc - see call_failure.h.
#include "backends/call/call_failure.h"

namespace batchproxy {

std::string_view to_string(CallFailure failure) {
  switch (failure) {
    case CallFailure::kNone:
      return "status";
    case CallFailure::kRefused:
      return "refused";
    case CallFailure::kUnreachable:
      return "unreachable";
    case CallFailure::kNoAnswer:
      return "reset";
    case CallFailure::kCutAnswer:
      return "cut";
    case CallFailure::kBareError:
      return "empty_error";
    case CallFailure::kBadAnswer:
      return "garbage";
    case CallFailure::kWrongCount:
      return "choice_count";
    case CallFailure::kTimedOut:
      return "timeout";
    case CallFailure::kStuck:
      return "stuck";
    case CallFailure::kRecalled:
      return "recalled";
    case CallFailure::kAborted:
      return "aborted";
  }
  return "unknown";
}

}  // namespace batchproxy
