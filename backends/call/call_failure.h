// backends/call/call_failure.h - how a call to a backend can fail.
//
// Threading: values, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace batchproxy {

enum class CallFailure {
  kNone,
  kRefused,      // nobody listens there: nothing was sent
  kUnreachable,  // no connection for another reason, or not in time: nothing was sent
  kNoAnswer,     // the connection died before the first byte of an answer
  kCutAnswer,    // it died after that
  kBareError,    // it answered 5xx, but not 503, without a word, as a dying vLLM does
  kBadAnswer,    // not HTTP as we read it, too large, or not what was asked for
  kWrongCount,   // fewer or more choices than prompts, or not one for each
  kTimedOut,
  kStuck,     // its engine stands still, and it is asked elsewhere
  kRecalled,  // it would have been too late there, and waits here again
  kAborted,   // abort() was called
};
inline constexpr std::size_t kCallFailures = static_cast<std::size_t>(CallFailure::kAborted) + 1;

// What is wrong with a kBadAnswer.
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

// One word for it, for metrics; kNone stands for an answer that is an error.
std::string_view to_string(CallFailure failure);

}  // namespace batchproxy
