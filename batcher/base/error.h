// batcher/base/error.h - every way in which a request can fail by our own hand, and Result<T>.
//
// A code is an enumerator here and its row in error.cc, which says all there is to say of it; the
// compiler asks for the row. docs/ERRORS.md lists the rows for people, and a test compares the two.
//
// Threading: values, any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <boost/system/result.hpp>

#include "batcher/base/enum_table.h"
#include "batcher/base/finish.h"

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
  kNotFound,       // a file or a batch, or it is another's
  kQuotaExceeded,  // of files
  // The proxy's own, or nobody's.
  kQueueFull,
  kOverloaded,  // no memory, or no descriptor, for another request
  kNoBackend,
  kCancelled,    // withdrawn because its client had left; nobody sees it
  kRetryBudget,  // no retry now; the failure that asked for it is answered instead
  kQueueTimeout,
  kShuttingDown,
  kJobsUnavailable,  // files and batches cannot be kept
  kInternal,
  // The backend's.
  kBackendLost,  // the connection died before the answer was whole, on every attempt
  kBadBackendResponse,
  kBackendTimeout,
  kChoiceCountMismatch,  // it answered more, or less, than was asked for
  kEngineLacksScores,    // a decision that it cannot be made to tell
  kPoisonPrompt,         // three engines died with it, the last with nothing else on it
  kKnownPoison,          // the same bytes as one of those, again

  kCount  // of them; no code
};
inline constexpr auto& kAllErrors = kAll<Errc>;

// A row of the table of codes.
struct ErrorTraits {
  Errc id{};
  std::string_view code{};         // stable word, in the body and in x-batchproxy-code
  unsigned status = 500;           // HTTP status
  std::string_view type{};         // OpenAI's `type`
  bool retryable = false;          // x-should-retry
  std::string_view retry_after{};  // seconds; empty: no such header
  Finish finish{};                 // how the request counts that ends so
  bool asked = false;              // whether a backend was asked: else the log counts it as refused
  std::string_view text{};         // for its client, where nothing better is known
  std::string_view param{};        // the body field at fault, if it is always the same
};

const ErrorTraits& describe(Errc code);

// How a request counts that ends in `code`.
inline Finish finish_of(Errc code) {
  return describe(code).finish;
}

struct Error {
  Errc code;
  std::string message;       // for the client: what is wrong and what to do
  std::string param{};       // the body field at fault, or empty
  std::string_view allow{};  // of a 405, the methods that would do; empty: all that we know
};

// With the text of the code's row.
Error error_of(Errc code);

template <class T>
using Result = boost::system::result<T, Error>;

// For Result<T>::value(), which we use in tests only.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location&);

}  // namespace batchproxy
