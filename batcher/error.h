// batcher/error.h - every way in which a request can fail by our own hand, and Result<T>.
//
// One enumerator per code word. describe() is the only place that turns one into a status, a type
// and a retry hint; docs/ERRORS.md lists the same table, and a test compares the two.
//
// Threading: values, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <boost/system/result.hpp>

namespace batchproxy {

enum class Errc {
  // The client's doing.
  kBadHttp,             // not strict HTTP/1.1
  kUnsupportedVersion,  // not HTTP/1.0 or 1.1
  kUriTooLong,
  kHeadTooLarge,
  kExpectationFailed,
  kBodyTooLarge,
  kRequestTimeout,  // the request did not arrive in time
  kInvalidApiKey,   // none of ours, where keys are asked for
  kInvalidJson,
  kInvalidRequest,  // JSON, but not what the endpoint takes
  kTooManyPrompts,
  kUnknownRoute,
  kMethodNotAllowed,
  kUnknownModel,
  // Ours, or nobody's.
  kQueueFull,
  kOverloaded,  // no memory, or no descriptor, for another request
  kNoBackend,
  kCancelled,    // withdrawn because its client had left; nobody sees it
  kRetryBudget,  // no retry now; the failure that asked for it is answered instead
  kQueueTimeout,
  kShuttingDown,
  kInternal,
  // The backend's.
  kBackendLost,  // the connection died before the answer was whole, on every attempt
  kBadBackendResponse,
  kBackendTimeout,
  kChoiceCountMismatch,  // it answered more, or less, than was asked for
  kPoisonPrompt,         // three engines died with it, the last with nothing else on it
  kKnownPoison,          // the same bytes as one of those, again
};

// In the order of the enumerators: counts are kept by their numbers, and shown by this list.
inline constexpr std::array kAllErrors = {
    Errc::kBadHttp,          Errc::kUnsupportedVersion,  Errc::kUriTooLong,
    Errc::kHeadTooLarge,     Errc::kExpectationFailed,   Errc::kBodyTooLarge,
    Errc::kRequestTimeout,   Errc::kInvalidApiKey,       Errc::kInvalidJson,
    Errc::kInvalidRequest,   Errc::kTooManyPrompts,      Errc::kUnknownRoute,
    Errc::kMethodNotAllowed, Errc::kUnknownModel,        Errc::kQueueFull,
    Errc::kOverloaded,       Errc::kNoBackend,           Errc::kCancelled,
    Errc::kRetryBudget,      Errc::kQueueTimeout,        Errc::kShuttingDown,
    Errc::kInternal,         Errc::kBackendLost,         Errc::kBadBackendResponse,
    Errc::kBackendTimeout,   Errc::kChoiceCountMismatch, Errc::kPoisonPrompt,
    Errc::kKnownPoison};
static_assert([] {
  for (std::size_t i = 0; i < kAllErrors.size(); ++i) {
    if (static_cast<std::size_t>(kAllErrors[i]) != i) return false;
  }
  return true;
}());

struct ErrorTraits {
  std::string_view code;  // stable word, in the body and in x-batchproxy-code
  unsigned status;        // HTTP status
  std::string_view type;  // OpenAI's `type`
  bool retryable;         // x-should-retry
};

ErrorTraits describe(Errc code);

struct Error {
  Errc code;
  std::string message;  // for the client: what is wrong and what to do
  std::string param{};  // the body field at fault, or empty
};

template <class T>
using Result = boost::system::result<T, Error>;

// For Result<T>::value(), which we use in tests only.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location&);

}  // namespace batchproxy
