// proxy/wire/client_error.cc - see client_error.h.
#include "proxy/wire/client_error.h"

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
      return fmt::format("The answer has {}more than the {} of batchproxy.max_answer_bytes.", size,
                         fault.limit);
    }
    case AnswerFault::Kind::kType:
      return fmt::format("The answer is not a JSON object. Its Content-Type is {}.", fault.seen);
    case AnswerFault::Kind::kJson: {
      const bool shown = to_its_client && !fault.seen.empty();
      const std::string near = shown ? fmt::format(" (near {})", fault.seen) : "";
      return fmt::format("The answer is not a JSON object at byte {}{}.", fault.number, near);
    }
  }
  return "The answer is malformed.";
}

Error error_of(CallFailure failure, std::string_view backend, const AnswerFault& fault) {
  const CallFailureTraits& traits = describe(failure);
  if (traits.text.empty()) return error_of(traits.error);
  Error error{traits.error, fmt::format(fmt::runtime(traits.text), backend)};
  if (failure == CallFailure::kBadAnswer) {
    error.message.append(" ").append(describe(fault, /*to_its_client=*/true));
  }
  return error;
}

}  // namespace batchproxy
