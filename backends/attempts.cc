// backends/attempts.cc - see attempts.h.
#include "backends/attempts.h"

namespace batchproxy {

Attempts::Next Attempts::after(const Attempt& attempt, BackendSet served_by) {
  const bool sent =
      attempt.failure != CallFailure::kRefused && attempt.failure != CallFailure::kUnreachable;
  if (sent) ++made_;
  asked_.insert(attempt.backend);
  const bool may = made_ < kMax && attempt.time_left;
  const bool elsewhere = !(served_by - asked_).empty();
  switch (attempt.failure) {
    case CallFailure::kNone:
      if (attempt.status < 500 && !attempt.asks_to_wait) return Next::kDeliver;
      if (!may || !elsewhere) return Next::kDeliver;
      // One that asks to wait has not failed: another may have time.
      return attempt.asks_to_wait ? Next::kRetry : Next::kRetryInBudget;
    case CallFailure::kRefused:
    case CallFailure::kUnreachable:
      return attempt.time_left ? Next::kRetry : Next::kDeliver;
    case CallFailure::kNoAnswer:
    case CallFailure::kCutAnswer:
    case CallFailure::kBareError:
      ++deaths_;
      if (attempt.alone && attempt.went_down) return Next::kPoison;
      return may ? Next::kRetry : Next::kDeliver;
    case CallFailure::kTimedOut:
      return may ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kBadAnswer:
    case CallFailure::kWrongCount:
      return may && made_ < 2 ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kAborted:
      break;
  }
  return Next::kDeliver;
}

void Attempts::prepare_retry(Ticket& ticket, bool costs_budget) const {
  ticket.packing = Packing::kNever;
  ticket.avoid = asked_;
  ticket.costs_budget = costs_budget;
  ticket.suspect = deaths_ >= kDeathsBeforeAlone;
}

bool is_death(CallFailure failure) {
  return failure == CallFailure::kNoAnswer || failure == CallFailure::kCutAnswer ||
         failure == CallFailure::kBareError;
}

Outcome outcome_of(CallFailure failure, unsigned status, bool asks_to_wait) {
  switch (failure) {
    case CallFailure::kNone:
      if (status < 400) return Outcome::kGood;
      return status < 500 || asks_to_wait ? Outcome::kRejected : Outcome::kServerError;
    case CallFailure::kRefused:
    case CallFailure::kUnreachable:
    case CallFailure::kNoAnswer:
    case CallFailure::kCutAnswer:
      return Outcome::kLost;
    case CallFailure::kBareError:
    case CallFailure::kBadAnswer:
    case CallFailure::kWrongCount:
      return Outcome::kServerError;
    case CallFailure::kTimedOut:
      return Outcome::kTimedOut;
    case CallFailure::kAborted:
      break;
  }
  return Outcome::kUnknown;
}

}  // namespace batchproxy
