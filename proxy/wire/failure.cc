// proxy/wire/failure.cc - see failure.h.
#include "proxy/wire/failure.h"

#include <string>

#include <fmt/format.h>

namespace batchproxy {

std::string describe(const AnswerFault& fault, bool to_its_client) {
  switch (fault.kind) {
    case AnswerFault::Kind::kUnknown:
      break;
    case AnswerFault::Kind::kHttp:
      return fault.seen.ends_with('.') ? fault.seen : fault.seen + '.';
    case AnswerFault::Kind::kSize: {
      const std::string size = fault.number > 0 ? fmt::format("{} bytes, ", fault.number) : "";
      return fmt::format("It has {}more than the {} of batchproxy.max_answer_bytes.", size,
                         fault.limit);
    }
    case AnswerFault::Kind::kType:
      return fmt::format("Its Content-Type is {}, and it is not a JSON object.", fault.seen);
    case AnswerFault::Kind::kJson: {
      const bool shown = to_its_client && !fault.seen.empty();
      const std::string near = shown ? fmt::format(" (near {})", fault.seen) : "";
      return fmt::format("It is not a JSON object at byte {}{}.", fault.number, near);
    }
  }
  return "It is not as it should be.";
}

Error error_of(CallFailure failure, std::string_view backend, const AnswerFault& fault) {
  const std::string name(backend);
  switch (failure) {
    case CallFailure::kRefused:
    case CallFailure::kUnreachable:
      return {Errc::kBackendLost, "Backend " + name + " could not be reached."};
    case CallFailure::kNoAnswer:
      return {Errc::kBackendLost, "Backend " + name + " closed the connection without an answer."};
    case CallFailure::kCutAnswer:
      return {Errc::kBackendLost, "Backend " + name + " closed the connection in mid-answer."};
    case CallFailure::kBareError:
      return {Errc::kBadBackendResponse, "Backend " + name + " failed without saying why."};
    case CallFailure::kBadAnswer:
      return {Errc::kBadBackendResponse, "Backend " + name +
                                             " sent something that is not an answer. " +
                                             describe(fault, /*to_its_client=*/true)};
    case CallFailure::kWrongCount:
      return {Errc::kChoiceCountMismatch,
              "Backend " + name + " did not answer with one choice for each that was asked for."};
    case CallFailure::kTimedOut:
      return {Errc::kBackendTimeout, "Backend " + name + " did not answer in time."};
    case CallFailure::kStuck:
      return {Errc::kBackendTimeout, "Backend " + name + " stood still, and no other answered."};
    case CallFailure::kRecalled:
      return error_of(Errc::kQueueTimeout);
    case CallFailure::kNone:
    case CallFailure::kAborted:
      break;
  }
  return {Errc::kInternal, "The call to backend " + name + " ended unexpectedly."};
}

}  // namespace batchproxy
