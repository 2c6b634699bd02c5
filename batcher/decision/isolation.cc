// batcher/decision/isolation.cc - see isolation.h.
#include "batcher/decision/isolation.h"

#include <algorithm>

namespace batchproxy {

void Isolation::place(Decision& decision) {
  TurnSet& suspects = decision.turns.suspects();
  if (flies_ || suspects.empty()) return;
  if (!is_calm(decision.now)) return release();
  if (reserved_ && !fleet_[*reserved_].takes(decision.now)) release();
  const auto has_reserved = [this](const Ticket& ticket) {
    return reserved_ && ticket.among.contains(*reserved_);
  };
  // One that nobody can take now does not keep up those behind it.
  const auto first = std::ranges::find_if(suspects, [&](const Ticket& ticket) {
    return has_reserved(ticket) || fleet_.any(ticket.among, &Backend::is_ready);
  });
  if (first == suspects.end()) return release();
  Ticket& suspect = *first;
  if (!has_reserved(suspect)) {
    release();
    reserved_ = decision.balancer.least_loaded(suspect.among, &Backend::is_ready);
    if (fleet_.reserve(*reserved_, decision.now)) decision.turns.release(*reserved_);
  }
  if (fleet_[*reserved_].inflight > 0) return;
  flies_ = true;
  decision.grant(suspect, *reserved_, FlushReason::kRoom);
  suspect.verdict.alone = true;
  decision.close_batch(*reserved_, FlushReason::kRoom);
}

std::optional<TimePoint> Isolation::due(TimePoint now) const {
  if (flies_ || turns_.suspects().empty() || is_calm(now)) return std::nullopt;
  return *fleet_.last_death() + kCalm;
}

void Isolation::tidy() {
  if (turns_.suspects().empty() && !flies_) release();
}

// The next suspect would have to wait for the backend to become empty again. With no other backend,
// though, those without blame must have their turn first.
void Isolation::on_completed() {
  flies_ = false;
  others_first_ = !fleet_.any(BackendSet::first(fleet_.size()), &Backend::is_ready);
  if (turns_.suspects().empty() || others_first_) release();
}

void Isolation::release() {
  if (!reserved_) return;
  fleet_.unreserve(*reserved_);
  reserved_.reset();
}

}  // namespace batchproxy
