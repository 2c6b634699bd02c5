// backends/call/call_failure.h - how a call to a backend can fail.
//
// A failure is an enumerator here and its row in call_failure.cc, which says all there is to say of
// it by itself; the compiler asks for the row. What follows for the request is decided in
// attempts.h.
//
// Threading: values, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "batcher/base/enum_table.h"
#include "batcher/base/error.h"
#include "batcher/fleet/breaker.h"

namespace batchproxy {

enum class CallFailure {
  kNone,
  kRefused,      // nobody listens there: nothing was sent
  kUnreachable,  // no connection for another reason, or not in time: nothing was sent
  kNoAnswer,     // the connection died before the first byte of an answer
  kCutAnswer,    // it died after that
  kBareError,    // 5xx, but not 503, without a word, as a dying vLLM answers; or such a 404, as
                 // a stranger at its port does
  kBadAnswer,    // not HTTP as we read it, too large, or not what was asked for
  kWrongCount,   // fewer or more choices than prompts, or not one for each
  kTimedOut,
  kStuck,     // its engine stands still, and it is asked elsewhere
  kRecalled,  // it would have been too late there, and waits here again
  kAborted,   // abort() was called

  kCount  // of them; no failure
};
inline constexpr std::size_t kCallFailures = kCountOf<CallFailure>;

// A row of the table of failures.
struct CallFailureTraits {
  CallFailure id{};
  std::string_view word{};    // in metrics and in the log; of kNone, for an answer that is an error
  bool sent = true;           // something, so that the try counts
  bool may_be_death = false;  // the engine may have ended by it: its health tells
  bool server_error = false;  // an answer, but a failure of the server's
  Outcome outcome{};          // what it tells about the backend
  Errc error{};               // what its client is told, if nobody answers
  std::string_view text{};    // and in which words: {} is the backend; empty: those of `error`
};
const CallFailureTraits& describe(CallFailure failure);

// The fault of an answer that is a kBadAnswer.
struct AnswerFault {
  enum class Kind : std::uint8_t {
    kUnknown,
    kHttp,  // `seen`: the rule that it breaks, as a sentence
    kSize,  // `number`: its bytes, 0 where it does not say; `limit`: what was allowed
    kType,  // no JSON, and `seen`, its Content-Type, does not say that it is
    kJson,  // no JSON object from byte `number` on; `seen`: what stands there, if that may be told
  };
  Kind kind = Kind::kUnknown;
  std::uint64_t number = 0;
  std::uint64_t limit = 0;
  std::string seen{};
};

inline std::string_view to_string(CallFailure failure) {
  return describe(failure).word;
}

}  // namespace batchproxy
