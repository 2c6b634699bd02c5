// backends/call/attempts.cc - see attempts.h.
#include "backends/call/attempts.h"

namespace batchproxy {

namespace {

constexpr std::size_t kLongError = 16 << 10;  // bytes; an error message is shorter

// Whether `words` stand at the beginning of `body`, or of a string in it: elsewhere they may be a
// client's own, repeated.
bool begins_a_text(std::string_view body, std::string_view words) {
  for (std::size_t at = body.find(words); at != std::string_view::npos;
       at = body.find(words, at + 1)) {
    if (at == 0) return true;
    const bool quoted = body[at - 1] == '"' && (at == 1 || body[at - 2] != '\\');
    if (quoted) return true;
  }
  return false;
}

}  // namespace

bool may_be_death(CallFailure failure, unsigned status) {
  return failure == CallFailure::kNone ? status == 500 : describe(failure).may_be_death;
}

bool tells_of_death(unsigned status, std::string_view body) {
  if (status != 500 || body.size() >= kLongError) return false;
  return begins_a_text(body, "EngineCore encountered an issue") ||
         begins_a_text(body, "EngineDeadError");
}

bool Attempt::is_full() const {
  return failure == CallFailure::kNone && (status == 429 || status == 503) && !asks_to_wait;
}

bool Attempt::is_death() const {
  return went_down && may_be_death(failure, status);
}

bool Attempt::is_loss() const {
  return is_death() || failure == CallFailure::kNoAnswer || failure == CallFailure::kCutAnswer ||
         failure == CallFailure::kStuck;
}

bool Attempt::is_server_error() const {
  if (failure != CallFailure::kNone) return describe(failure).server_error;
  return status >= 500 && !asks_to_wait && !is_full();
}

Attempts::Next Attempts::after(const Attempt& attempt, BackendSet served_by) {
  const bool comes_back = attempt.failure == CallFailure::kRecalled;
  if (comes_back || (attempt.is_full() && attempt.may_wait)) {
    return attempt.time_left ? Next::kWait : Next::kDeliver;
  }
  if (describe(attempt.failure).sent) {
    ++made_;
    was_alone_ = was_alone_ || attempt.alone;
  }
  if (attempt.is_loss()) ++losses_;
  asked_.insert(attempt.backend);
  const bool may = any_left() && attempt.time_left;
  const bool elsewhere = !(served_by - asked_).empty();
  if (attempt.is_death()) {
    ++deaths_;
    if (attempt.alone) return Next::kPoison;
    return may ? Next::kRetry : Next::kDeliver;
  }
  if (attempt.is_server_error()) failed_by_.insert(attempt.backend);
  switch (attempt.failure) {
    case CallFailure::kNone:
      // One that asks to wait, or is full, has not failed: another may have time.
      if (attempt.asks_to_wait || attempt.is_full()) {
        return may && elsewhere ? Next::kRetry : Next::kDeliver;
      }
      return attempt.status >= 500 && may && elsewhere ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kRefused:
    case CallFailure::kUnreachable:
      return attempt.time_left ? Next::kRetry : Next::kDeliver;
    case CallFailure::kNoAnswer:
    case CallFailure::kCutAnswer:
    case CallFailure::kStuck:
      return may ? Next::kRetry : Next::kDeliver;
    case CallFailure::kTimedOut:
      return may ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kBareError:
      // It says nothing, not even that asking the same one again is in vain.
      return may && (elsewhere || made_ < 2) ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kBadAnswer:
    case CallFailure::kWrongCount:
      return may && made_ < 2 ? Next::kRetryInBudget : Next::kDeliver;
    case CallFailure::kRecalled:
    case CallFailure::kAborted:
    case CallFailure::kCount:
      break;
  }
  return Next::kDeliver;
}

void Attempts::prepare_retry(Ticket& ticket, bool costs_budget) const {
  ticket.mergeable = Mergeable::kNever;
  ticket.avoid = asked_;
  ticket.costs_budget = costs_budget;
  ticket.suspect = is_suspect();
}

Outcome outcome_of(const Attempt& attempt) {
  if (attempt.is_death()) return Outcome::kDied;
  if (attempt.is_full()) return Outcome::kFull;
  if (attempt.is_server_error()) return Outcome::kServerError;
  if (attempt.failure == CallFailure::kNone) {
    return attempt.status < 400 ? Outcome::kGood : Outcome::kRejected;
  }
  const bool expired = attempt.failure == CallFailure::kTimedOut && !attempt.time_left;
  return expired ? Outcome::kExpired : describe(attempt.failure).outcome;
}

}  // namespace batchproxy
