// backends/call/call_failure.cc - the table of failures.
#include "backends/call/call_failure.h"

namespace batchproxy {

namespace {

constexpr bool kSent = true;
constexpr bool kUnsent = false;
constexpr bool kMaybeDeath = true;
constexpr bool kNoDeath = false;
constexpr bool kServerError = true;
constexpr bool kNoFault = false;

constexpr std::string_view kUnreached = "Backend {} could not be reached.";
constexpr std::string_view kUnexpected = "The call to backend {} ended unexpectedly.";

// What an answer says, and when, tells more than the rows of kNone and kTimedOut: see attempts.cc.
constexpr EnumTable<CallFailureTraits> kFailures({
    {CallFailure::kNone, "status", kSent, kNoDeath, kNoFault, Outcome::kUnknown, Errc::kInternal,
     kUnexpected},
    {CallFailure::kRefused, "refused", kUnsent, kNoDeath, kNoFault, Outcome::kLost,
     Errc::kBackendLost, kUnreached},
    {CallFailure::kUnreachable, "unreachable", kUnsent, kNoDeath, kNoFault, Outcome::kLost,
     Errc::kBackendLost, kUnreached},
    {CallFailure::kNoAnswer, "reset", kSent, kMaybeDeath, kNoFault, Outcome::kLost,
     Errc::kBackendLost, "Backend {} closed the connection without an answer."},
    {CallFailure::kCutAnswer, "cut", kSent, kMaybeDeath, kNoFault, Outcome::kLost,
     Errc::kBackendLost, "Backend {} closed the connection in the middle of its answer."},
    {CallFailure::kBareError, "empty_error", kSent, kMaybeDeath, kServerError,
     Outcome::kServerError, Errc::kBadBackendResponse, "Backend {} failed without saying why."},
    {CallFailure::kBadAnswer, "garbage", kSent, kNoDeath, kServerError, Outcome::kServerError,
     Errc::kBadBackendResponse, "Backend {} sent an invalid answer."},
    {CallFailure::kWrongCount, "choice_count", kSent, kNoDeath, kServerError, Outcome::kServerError,
     Errc::kChoiceCountMismatch,
     "Backend {} answered with another number of choices than was asked for."},
    {CallFailure::kTimedOut, "timeout", kSent, kNoDeath, kNoFault, Outcome::kTimedOut,
     Errc::kBackendTimeout, "Backend {} did not answer in time."},
    {CallFailure::kStuck, "stuck", kSent, kNoDeath, kNoFault, Outcome::kUnknown,
     Errc::kBackendTimeout, "Backend {} stood still, and no other answered."},
    {CallFailure::kRecalled, "recalled", kSent, kNoDeath, kNoFault, Outcome::kUnknown,
     Errc::kQueueTimeout},
    {CallFailure::kAborted, "aborted", kSent, kNoDeath, kNoFault, Outcome::kUnknown,
     Errc::kInternal, kUnexpected},
});

}  // namespace

const CallFailureTraits& describe(CallFailure failure) {
  return kFailures[failure];
}

}  // namespace batchproxy
