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
     kUnasked, "batchproxy understands HTTP/1.0 and HTTP/1.1 only."},
    {Errc::kUriTooLong, "uri_too_long", 414, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request line is too long. Use a shorter URL."},
    {Errc::kHeadTooLarge, "head_too_large", 431, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request head is too large. Send fewer or shorter header fields."},
    {Errc::kExpectationFailed, "expectation_failed", 417, kInvalid, kFinal, kUnsaid, kClientError,
     kUnasked, "The only expectation that batchproxy meets is `100-continue`."},
    {Errc::kBodyTooLarge, "body_too_large", 413, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "The request body is larger than batchproxy.max_body_bytes. Send it in parts."},
    {Errc::kRequestTimeout, "request_timeout", 408, kLate, kRetry, kUnsaid, kClientError, kUnasked,
     "The request did not arrive in time. Send it again."},
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
     kUnasked, "The path does not take this method. The `allow` header names those that it takes."},
    {Errc::kUnknownModel, "unknown_model", 404, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "No backend serves this model. GET /v1/models lists the models that are served.", "model"},
    {Errc::kNotFound, "not_found", 404, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "There is no such file or batch."},
    {Errc::kQuotaExceeded, "quota_exceeded", 413, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "All files together may have batchproxy.jobs.max_bytes. Delete some."},
    {Errc::kQueueFull, "queue_full", 503, kOverload, kRetry, kSoon, kShed, kUnasked,
     "The queue is full. Try again, or raise batchproxy.max_queue."},
    {Errc::kOverloaded, "overloaded", 503, kOverload, kRetry, kSoon, kShed, kUnasked,
     "batchproxy has no memory or no file descriptor left for another request. Try again."},
    {Errc::kNoBackend, "no_backend", 503, kBackend, kRetry, kRestart, kShed, kUnasked,
     "No backend for this model became ready within batchproxy.hold_timeout. Engines may still be "
     "loading: see /status on the admin address."},
    {Errc::kCancelled, "cancelled", 503, kOverload, kRetry, kUnsaid, kShed, kUnasked,
     "The request was withdrawn."},
    {Errc::kRetryBudget, "retry_budget", 503, kOverload, kRetry, kUnsaid, kShed, kUnasked,
     "The retry budget is spent: too many requests are being sent again."},
    {Errc::kQueueTimeout, "queue_timeout", 504, kLate, kRetry, kSoon, Finish::kTimeout, kUnasked,
     "The engines are overloaded: an answer can no longer come within the request's time. Try "
     "again, or send fewer requests at once."},
    {Errc::kShuttingDown, "shutting_down", 503, kOverload, kRetry, kRestart, kShed, kUnasked,
     "batchproxy is shutting down. Try again."},
    {Errc::kJobsUnavailable, "jobs_unavailable", 503, kOverload, kFinal, kUnsaid, kShed, kUnasked,
     "Files and batches cannot be kept now: see batchproxy.jobs.directory."},
    {Errc::kInternal, "internal_error", 500, kBug, kRetry, kUnsaid, kBackendError, kAsked,
     "batchproxy had an internal error. Its log says more."},
    {Errc::kBackendLost, "backend_lost", 502, kBackend, kRetry, kUnsaid, kBackendError, kAsked,
     "The connection to the backend broke before the answer was complete. Try again."},
    {Errc::kBadBackendResponse, "bad_backend_response", 502, kBackend, kRetry, kUnsaid,
     kBackendError, kAsked, "The backend sent an invalid answer."},
    {Errc::kBackendTimeout, "backend_timeout", 504, kLate, kRetry, kUnsaid, Finish::kTimeout,
     kAsked, "The backend did not answer in time."},
    {Errc::kChoiceCountMismatch, "choice_count_mismatch", 502, kBackend, kRetry, kUnsaid,
     kBackendError, kAsked,
     "A backend answered a part of the list with another number of choices than was asked for."},
    {Errc::kEngineLacksScores, "engine_lacks_scores", 501, kBackend, kFinal, kUnsaid, kBackendError,
     kAsked, "The engine cannot tell how likely texts are."},
    {Errc::kPoisonPrompt, "poison_prompt", 502, kBackend, kFinal, kUnsaid, kBackendError, kAsked,
     "The engine's connection died three times while it worked on this request, the last time on "
     "nothing else. The request is not sent again: look into the engine's log."},
    {Errc::kKnownPoison, "known_poison", 422, kInvalid, kFinal, kUnsaid, kClientError, kUnasked,
     "This request brought engines down within the last ten minutes. It is not sent again: look "
     "into the engines' logs."},
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
