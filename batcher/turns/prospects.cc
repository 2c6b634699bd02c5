// batcher/turns/prospects.cc - see prospects.h.
#include "batcher/turns/prospects.h"

#include <algorithm>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

namespace {

// So many tickets are looked at for one that a slow backend can answer in time.
constexpr std::size_t kSlowWindow = 256;

// While fit tickets wait, one grant in so many is for a late one: its client may wait after all,
// and only an answer that it takes can show it.
constexpr unsigned kLateShare = 16;

// Of the time that a request has at all, so much must be gone before it can be too late for it:
// nobody knows that an answer takes longer than all clients wait unless some are sent.
constexpr int kFreshTenths = 9;

}  // namespace

void Prospects::add_backend(BackendId id) {
  if (id >= since_late_.size()) since_late_.resize(id + 1);
  since_late_[id] = 0;
}

Prospect Prospects::of(const Ticket& ticket, const Backend* backend, TimePoint now) const {
  const auto in_time = [&](Duration left, Duration took) {
    return left >= std::min(took, (ticket.deadline - ticket.arrival) * kFreshTenths / 10);
  };
  const Duration left = ticket.deadline - now;
  if (left < fleet_.longest_usual()) {
    const bool any = std::ranges::any_of(fleet_, [&](const Backend& other) {
      return other.ready && ticket.among.contains(fleet_.id_of(other)) &&
             in_time(left, fleet_.least(other));
    });
    if (!any && fleet_.any(ticket.among, &Backend::is_ready)) return Prospect::kNone;
    if (any && backend != nullptr && !in_time(left, fleet_.least(*backend))) {
      return Prospect::kElsewhere;
    }
  }
  return will_have_left(ticket, backend, now) ? Prospect::kLate : Prospect::kFine;
}

bool Prospects::will_have_left(const Ticket& ticket, const Backend* backend, TimePoint now) const {
  if (now >= patience_until_ || ticket.late || !rule_of(options_.policy).goes_by_room()) {
    return false;
  }
  const Patience* known = turns_.clients().find_patience(ticket.client);
  if (known == nullptr) return false;
  const auto patience = known->learnt(now);
  if (!patience) return false;
  const Duration took = backend != nullptr ? fleet_.least(*backend) : fleet_.least_of_all();
  return ticket.arrival + *patience - now < std::min(took, *patience * 9 / 10);
}

Ticket* Prospects::first(TurnSet& turns, const Backend* backend, TimePoint now) {
  std::size_t seen = 0;
  for (auto it = turns.begin(); it != turns.end() && seen < kSlowWindow; ++seen) {
    Ticket& ticket = *it++;
    switch (of(ticket, backend, now)) {
      case Prospect::kFine:
        return &ticket;
      case Prospect::kElsewhere:
        break;
      case Prospect::kLate:
        turns_.stand_back(ticket);
        break;
      case Prospect::kNone:
        turns_.drop_and_refuse(ticket, Errc::kQueueTimeout, now);
        break;
    }
  }
  return nullptr;
}

Ticket* Prospects::late_head(BackendId id, TimePoint now) {
  Ticket* head = nullptr;
  for (const auto& queue : turns_.queues()) {
    if (queue->late.empty() || !queue->backends.contains(id)) continue;
    Ticket* next = first(queue->late, &fleet_[id], now);
    if (next != nullptr && (head == nullptr || EarlierTurn()(*next, *head))) head = next;
  }
  return head;
}

bool Prospects::late_one_is_due(BackendId id) {
  const bool any = std::ranges::any_of(turns_.queues(), [id](const auto& queue) {
    return !queue->late.empty() && queue->backends.contains(id);
  });
  if (!any || ++since_late_[id] < kLateShare) return false;
  since_late_[id] = 0;
  return true;
}

void Prospects::learn(const Grant& grant, Outcome outcome, TimePoint now) {
  if (outcome == Outcome::kGood && now < patience_until_) {
    Patience* patience = turns_.clients().find_patience(grant.client);
    if (patience != nullptr) patience->on_answered(now - grant.arrival);
  }
  if (outcome != Outcome::kLeft) return;
  Patience* patience = turns_.clients().patience_of_leaver(grant.client);
  if (patience == nullptr) return;
  patience->on_left(now - grant.arrival, now);
  const auto learnt = patience->learnt(now);
  if (!learnt) return;
  patience_until_ = now + Patience::kLasts;
  fleet_.on_time_given(*learnt, now);
  recall(grant.client, *learnt, now);
}

void Prospects::on_left(const Ticket& ticket, TimePoint now) {
  learn({.arrival = ticket.arrival, .client = ticket.client}, Outcome::kLeft, now);
}

// Before it was known how long the client waits, a backend may have been given far more than it
// answers in that time. It would begin with each just as its client leaves. What has spent half of
// its time comes back; the rest then has its turn in time.
void Prospects::recall(std::uint64_t client, Duration patience, TimePoint now) {
  for (const Backend& backend : fleet_) {
    if (backend.inflight / 2 < backend.max_inflight()) continue;
    recalls_.push_back({fleet_.id_of(backend), client, now - patience / 2});
  }
}

}  // namespace batchproxy
