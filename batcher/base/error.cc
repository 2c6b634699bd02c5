// batcher/base/error.cc - the table of error codes.
#include "batcher/base/error.h"

#include <stdexcept>

namespace batchproxy {

namespace {

// OpenAI's `type`.
constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kAuthentication = "authentication_error";
constexpr std::string_view kOverload = "overloaded_error";
constexpr std::string_view kBackend = "backend_error";
constexpr std::string_view kLate = "timeout_error";
constexpr std::string_view kBug = "internal_error";

// x-should-retry.
constexpr bool kRetry = true;
constexpr bool kFinal = false;

// Retry-After, in seconds.
constexpr std::string_view kUnsaid = {};
constexpr std::string_view kSoon = "1";
constexpr std::string_view kRestart = "5";  // an engine takes a while to come back

// Whether a backend was asked.
constexpr bool kAsked = true;
constexpr bool kUnasked = false;

using enum Finish;

constexpr EnumTable<ErrorTraits> kErrors({
    {Errc::kBadHttp, "bad_http", 400, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request is not strict HTTP/1.1."},
    {Errc::kUnsupportedVersion, "unsupported_version", 505, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "Only HTTP/1.0 and HTTP/1.1 are spoken here."},
    {Errc::kUriTooLong, "uri_too_long", 414, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request line is too long."},
    {Errc::kHeadTooLarge, "head_too_large", 431, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The head is too large."},
    {Errc::kExpectationFailed, "expectation_failed", 417, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "Only `Expect: 100-continue` can be met."},
    {Errc::kBodyTooLarge, "body_too_large", 413, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The body is larger than batchproxy.max_body_bytes."},
    {Errc::kRequestTimeout, "request_timeout", 408, kLate, kRetry, kUnsaid, kClientError, kUnasked,
     "The request did not arrive in time."},
    {Errc::kInvalidApiKey, "invalid_api_key", 401, kAuthentication, kFinal, kUnsaid, kClientError,
     kUnasked, "The API key is not one that this proxy knows."},
    {Errc::kInvalidJson, "invalid_json", 400, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request body is not JSON."},
    {Errc::kInvalidRequest, "invalid_request", 400, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "A field of the request body has the wrong type."},
    {Errc::kTooManyPrompts, "too_many_prompts", 400, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "The request holds more prompts than batchproxy.max_prompts."},
    {Errc::kUnknownRoute, "unknown_route", 404, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "batchproxy serves nothing at this path."},
    {Errc::kMethodNotAllowed, "method_not_allowed", 405, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "The path takes other methods."},
    {Errc::kUnknownModel, "unknown_model", 404, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "No backend serves this model.", "model"},
    {Errc::kQueueFull, "queue_full", 503, kOverload, kRetry, kSoon, kShed, kUnasked,
     "The queue is full. Try again, or raise batchproxy.max_queue."},
    {Errc::kOverloaded, "overloaded", 503, kOverload, kRetry, kSoon, kShed, kUnasked,
     "The requests in hand take all that they may. Try again."},
    {Errc::kNoBackend, "no_backend", 503, kBackend, kRetry, kRestart, kShed, kUnasked,
     "No backend for this model is ready, nor was one within batchproxy.hold_timeout. Engines may "
     "still be loading: see /status on the admin address."},
    {Errc::kCancelled, "cancelled", 503, kOverload, kRetry, kUnsaid, kShed, kUnasked,
     "The request was withdrawn."},
    {Errc::kRetryBudget, "retry_budget", 503, kOverload, kRetry, kUnsaid, kShed, kUnasked,
     "Too much is being sent again for another try."},
    {Errc::kQueueTimeout, "queue_timeout", 504, kLate, kRetry, kSoon, Finish::kTimeout, kUnasked,
     "The request waited for a backend until an answer could not have come in time any more: more "
     "is asked for than the engines can answer. Try again, or with fewer at once."},
    {Errc::kShuttingDown, "shutting_down", 503, kOverload, kRetry, kRestart, kShed, kUnasked,
     "batchproxy is shutting down."},
    {Errc::kInternal, "internal_error", 500, kBug, kRetry, kUnsaid, kBackendError, kAsked,
     "An internal error of batchproxy. Its log says more."},
    {Errc::kBackendLost, "backend_lost", 502, kBackend, kRetry, kUnsaid, kBackendError, kAsked,
     "The backend's connection died before the answer was whole."},
    {Errc::kBadBackendResponse, "bad_backend_response", 502, kBackend, kRetry, kUnsaid,
     kBackendError, kAsked, "The backend sent something that is not an answer."},
    {Errc::kBackendTimeout, "backend_timeout", 504, kLate, kRetry, kUnsaid, Finish::kTimeout,
     kAsked, "The backend did not answer in time."},
    {Errc::kChoiceCountMismatch, "choice_count_mismatch", 502, kBackend, kRetry, kUnsaid,
     kBackendError, kAsked,
     "A backend's answer to a part of the list does not hold what was asked for."},
    {Errc::kPoisonPrompt, "poison_prompt", 502, kBackend, kFinal, kUnsaid, kBackendError, kAsked,
     "Three times the engine's connection died while it worked on this request, the last time on "
     "nothing else. It is not sent again."},
    {Errc::kKnownPoison, "known_poison", 422, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "This request has been the end of engines within the last ten minutes. It is not sent "
     "again."},
});

}  // namespace

const ErrorTraits& describe(Errc code) {
  return kErrors[code];
}

Error error_of(Errc code) {
  const ErrorTraits& traits = describe(code);
  return {code, std::string(traits.text), std::string(traits.param)};
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::runtime_error(std::string(describe(error.code).code) + ": " + error.message);
}

}  // namespace batchproxy
