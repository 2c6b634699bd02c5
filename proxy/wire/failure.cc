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

Error error_of(Errc refused) {
  switch (refused) {
    case Errc::kNoBackend:
      return {refused,
              "No backend for this model is ready, nor was one within batchproxy.hold_timeout. "
              "Engines may still be loading: see /status on the admin address."};
    case Errc::kQueueFull:
      return {refused, "The queue is full. Try again, or raise batchproxy.max_queue."};
    case Errc::kUnknownModel:
      return {refused, "No backend serves this model.", "model"};
    case Errc::kShuttingDown:
      return {refused, "batchproxy is shutting down."};
    case Errc::kPoisonPrompt:
      return {refused,
              "Three times the engine's connection died while it worked on this request, the last "
              "time on nothing else. It is not sent again."};
    case Errc::kKnownPoison:
      return {refused,
              "This request has been the end of engines within the last ten minutes. It is not "
              "sent again."};
    case Errc::kQueueTimeout:
      return {
          refused,
          "The request waited for a backend until an answer could not have come in time any more: "
          "more is asked for than the engines can answer. Try again, or with fewer at once."};
    default:
      return {Errc::kInternal, "The request was refused."};
  }
}

}  // namespace batchproxy
