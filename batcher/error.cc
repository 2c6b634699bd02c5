// batcher/error.cc - see error.h.
#include "batcher/error.h"

#include <stdexcept>

namespace batchproxy {

ErrorTraits describe(Errc code) {
  constexpr std::string_view kInvalid = "invalid_request_error";
  constexpr std::string_view kOverloaded = "overloaded_error";
  constexpr std::string_view kBackend = "backend_error";
  constexpr std::string_view kTimeout = "timeout_error";
  switch (code) {
    case Errc::kBadHttp:
      return {"bad_http", 400, kInvalid, false};
    case Errc::kUnsupportedVersion:
      return {"unsupported_version", 505, kInvalid, false};
    case Errc::kUriTooLong:
      return {"uri_too_long", 414, kInvalid, false};
    case Errc::kHeadTooLarge:
      return {"head_too_large", 431, kInvalid, false};
    case Errc::kExpectationFailed:
      return {"expectation_failed", 417, kInvalid, false};
    case Errc::kBodyTooLarge:
      return {"body_too_large", 413, kInvalid, false};
    case Errc::kRequestTimeout:
      return {"request_timeout", 408, kTimeout, true};
    case Errc::kInvalidApiKey:
      return {"invalid_api_key", 401, "authentication_error", false};
    case Errc::kInvalidJson:
      return {"invalid_json", 400, kInvalid, false};
    case Errc::kInvalidRequest:
      return {"invalid_request", 400, kInvalid, false};
    case Errc::kTooManyPrompts:
      return {"too_many_prompts", 400, kInvalid, false};
    case Errc::kUnknownRoute:
      return {"unknown_route", 404, kInvalid, false};
    case Errc::kMethodNotAllowed:
      return {"method_not_allowed", 405, kInvalid, false};
    case Errc::kUnknownModel:
      return {"unknown_model", 404, kInvalid, false};
    case Errc::kQueueFull:
      return {"queue_full", 503, kOverloaded, true};
    case Errc::kOverloaded:
      return {"overloaded", 503, kOverloaded, true};
    case Errc::kNoBackend:
      return {"no_backend", 503, kBackend, true};
    case Errc::kCancelled:
      return {"cancelled", 503, kOverloaded, true};
    case Errc::kRetryBudget:
      return {"retry_budget", 503, kOverloaded, true};
    case Errc::kShuttingDown:
      return {"shutting_down", 503, kOverloaded, true};
    case Errc::kQueueTimeout:
      return {"queue_timeout", 504, kTimeout, true};
    case Errc::kInternal:
      return {"internal_error", 500, "internal_error", true};
    case Errc::kBackendLost:
      return {"backend_lost", 502, kBackend, true};
    case Errc::kBadBackendResponse:
      return {"bad_backend_response", 502, kBackend, true};
    case Errc::kBackendTimeout:
      return {"backend_timeout", 504, kTimeout, true};
    case Errc::kChoiceCountMismatch:
      return {"choice_count_mismatch", 502, kBackend, true};
    case Errc::kPoisonPrompt:
      return {"poison_prompt", 502, kBackend, false};
    case Errc::kKnownPoison:
      return {"known_poison", 422, kInvalid, false};
  }
  return {"internal_error", 500, "internal_error", true};
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::runtime_error(std::string(describe(error.code).code) + ": " + error.message);
}

}  // namespace batchproxy
