// batcher/prospects.cc - the part of Scheduler (scheduler.h) that knows what can still be answered
// in time, from what the ends of earlier requests have taught: how long answers take, how long
// clients wait, and whether a backend gets on with what it has.
#include <algorithm>

#include "batcher/scheduler.h"

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

// How long a client in a hurry is remembered.
constexpr Duration kHurried = std::chrono::seconds(10);

// Clients are told apart by what they say of themselves: no more are remembered for having left.
constexpr std::size_t kManyPatient = 65536;

// A backend that is full while nothing of ours is on it is left alone for so long, doubling.
constexpr Duration kFullPause = std::chrono::milliseconds(50);
constexpr unsigned kMostDoublings = 5;

}  // namespace

// What its answers take, or those of all while its own are not known.
Duration Scheduler::usual(const Backend& backend) const {
  const Duration own = backend.times.usual();
  return own > Duration::zero() ? own : all_times_.usual();
}

// With less time than that, one is not worth sending there.
Duration Scheduler::least(const Backend& backend) const {
  const Duration own = backend.times.least();
  return own > Duration::zero() ? own : all_times_.least();
}

// Whether it can be answered in time: by `backend`, by another, or by none.
Scheduler::Prospect Scheduler::prospect(const Ticket& ticket, const Backend* backend) const {
  const auto in_time = [&](Duration left, Duration took) {
    return left >= std::min(took, (ticket.deadline - ticket.arrival) * kFreshTenths / 10);
  };
  const Duration left = ticket.deadline - now_;
  if (left < longest_usual_) {
    const bool any = std::ranges::any_of(backends_, [&](const Backend& other) {
      return other.ready && ticket.among.contains(id_of(other)) && in_time(left, least(other));
    });
    if (!any && any_ready(ticket.among)) return Prospect::kNone;
    if (any && backend != nullptr && !in_time(left, least(*backend))) return Prospect::kElsewhere;
  }
  const bool guesses = options_.policy == FlushPolicy::kEager && now_ < patience_until_;
  if (!guesses || ticket.late) return Prospect::kFine;
  const auto client = clients_.find(ticket.client);
  if (client == clients_.end()) return Prospect::kFine;
  const auto patience = client->second.patience.learnt(now_);
  if (!patience) return Prospect::kFine;
  const Duration took = backend != nullptr ? least(*backend) : all_times_.least();
  const bool waits = ticket.arrival + *patience - now_ >= std::min(took, *patience * 9 / 10);
  return waits ? Prospect::kFine : Prospect::kLate;
}

// The first of `turns` that may go (to `backend`, if one is meant). Those before it that cannot be
// answered in time are refused, and those whose clients will have left stand back.
Ticket* Scheduler::fit_head(Turns& turns, const Backend* backend) {
  std::size_t seen = 0;
  for (auto it = turns.begin(); it != turns.end() && seen < kSlowWindow; ++seen) {
    Ticket& ticket = *it++;
    switch (prospect(ticket, backend)) {
      case Prospect::kFine:
        return &ticket;
      case Prospect::kElsewhere:
        break;
      case Prospect::kLate:
        stand_back(ticket);
        break;
      case Prospect::kNone:
        drop(ticket);
        refuse(ticket, Errc::kQueueTimeout);
        break;
    }
  }
  return nullptr;
}

void Scheduler::stand_back(Ticket& ticket) {
  Queue& queue = queue_for(ticket.among);
  take_out(ticket, queue);
  ticket.late = true;
  put(ticket, queue, std::nullopt);
}

Ticket* Scheduler::late_head(BackendId id) {
  Ticket* head = nullptr;
  for (auto& queue : queues_) {
    if (queue->late.empty() || !queue->backends.contains(id)) continue;
    Ticket* first = fit_head(queue->late, &backends_[id]);
    if (first != nullptr && (head == nullptr || EarlierTurn()(*first, *head))) head = first;
  }
  return head;
}

// Each backend counts its own, or those that always have the others' turns would get none.
bool Scheduler::late_one_is_due(Backend& backend) const {
  const bool any = std::ranges::any_of(queues_, [&](const auto& queue) {
    return !queue->late.empty() && queue->backends.contains(id_of(backend));
  });
  if (!any || ++backend.since_late < kLateShare) return false;
  backend.since_late = 0;
  return true;
}

void Scheduler::learn(Backend& backend, const Grant& grant, std::uint32_t prompts, Outcome outcome,
                      TimePoint now) {
  const Duration took = now - grant.since;
  const Duration before = usual(backend);
  const Duration before_of_all = all_times_.usual();
  // With far less time than answers take it says nothing of how many the engine can have.
  const bool was_long = before > Duration::zero() && took >= before / 2;
  switch (outcome) {
    case Outcome::kGood:
      if (grant.timed) {
        backend.times.add(took);
        all_times_.add(took);
      }
      if (backend.room.on_answered(prompts, now)) limit_to_time(backend);
      backend.refusals = 0;
      for (Backend& other : backends_) {
        if (!grant.refutes.contains(id_of(other))) continue;
        other.breaker.on_refuted(usual(other), now);
        stale_ = true;
      }
      break;
    case Outcome::kFull:
      ++backend.refusals;
      backend.room.on_full(backend.inflight, now);
      break;
    case Outcome::kExpired:
      backend.times.add_longer_than(took);
      all_times_.add_longer_than(took);
      if (was_long) backend.room.on_expired(took, now);
      break;
    case Outcome::kLeft:
      if (!was_long) break;
      backend.progress.on_departure();
      backend.room.on_expired(took, now);
      progress_due_ = std::min(progress_due_, now);
      break;
    case Outcome::kRejected:
    case Outcome::kServerError:
    case Outcome::kTimedOut:
    case Outcome::kLost:
    case Outcome::kDied:
    case Outcome::kUnknown:
      break;
  }
  learn_patience(grant, outcome, now);
  if (usual(backend) != before || all_times_.usual() != before_of_all) {
    longest_usual_ = {};
    for (const Backend& each : backends_) longest_usual_ = std::max(longest_usual_, usual(each));
  }
  backend.breaker.on_outcome(outcome, grant.generation, usual(backend), now);
  const bool answered = outcome == Outcome::kGood || outcome == Outcome::kRejected ||
                        outcome == Outcome::kFull || outcome == Outcome::kServerError;
  if (answered) note_bytes(backend, now);
}

// A request that is overdue goes beyond the room, but not where it would wait for longer than half
// of what the most hurried of the clients have given.
void Scheduler::note_time_given(Duration time, TimePoint now) {
  const bool longer = time - time / 8 > shortest_time_;
  if (longer && now < shortest_until_) return;
  shortest_until_ = now + kHurried;
  if (!longer && time >= shortest_time_) return;  // as good as the same
  shortest_time_ = time;
  for (Backend& backend : backends_) limit_to_time(backend);
}

void Scheduler::limit_to_time(Backend& backend) {
  const double most = std::min(backend.room.answers_in(shortest_time_ / 2), 1e9);
  backend.in_time = std::max(1u, static_cast<std::uint32_t>(most));
}

void Scheduler::learn_patience(const Grant& grant, Outcome outcome, TimePoint now) {
  if (outcome != Outcome::kLeft && (outcome != Outcome::kGood || now >= patience_until_)) return;
  const bool known = clients_.contains(grant.client);
  if (!known && (outcome == Outcome::kGood || clients_.size() >= kManyPatient)) return;
  Patience& patience = clients_[grant.client].patience;
  if (outcome == Outcome::kGood) return patience.on_answered(now - grant.arrival);
  patience.on_left(now - grant.arrival, now);
  const auto learnt = patience.learnt(now);
  if (!learnt) return;
  patience_until_ = now + Patience::kLasts;
  note_time_given(*learnt, now);
  recall(grant.client, *learnt, now);
}

// Before it was known how long the client waits, a backend may have been given far more than it
// answers in that time. It would begin with each just as its client leaves. What has spent half of
// its time comes back; the rest then has its turn in time.
void Scheduler::recall(std::uint64_t client, Duration patience, TimePoint now) {
  for (const Backend& backend : backends_) {
    if (backend.inflight / 2 < backend.max_inflight()) continue;
    recalls_.push_back({id_of(backend), client, now - patience / 2});
  }
}

void Scheduler::on_left(const Ticket& ticket, TimePoint now) {
  learn_patience({.arrival = ticket.arrival, .client = ticket.client}, Outcome::kLeft, now);
}

// One that is full although we have nothing on it is busy with others' requests. Where the room is
// not looked at, each refusal makes it rest.
Duration Scheduler::pause_of_full(Backend& backend) const {
  if (options_.policy == FlushPolicy::kOff) return {};
  if (options_.policy == FlushPolicy::kEager && backend.inflight > 0) return {};
  return kFullPause * (1u << std::min(backend.refusals, kMostDoublings));
}

void Scheduler::on_bytes(BackendId id, TimePoint now) {
  note_bytes(backends_.at(id), now);
}

void Scheduler::note_bytes(Backend& backend, TimePoint now) {
  backend.progress.on_bytes(now);
  if (backend.stuck) set_moving(backend, now);
}

// When it will count as stuck, or as stuck again, unless it moves.
TimePoint Scheduler::stuck_at(const Backend& backend) const {
  const bool tried = backend.stuck && backend.breaker.is_probing();
  if (backend.stuck && !tried) return TimePoint::max();
  return backend.progress.stuck_at(
      {.stuck_timeout = options_.stuck_timeout, .usual = usual(backend), .tried = tried});
}

void Scheduler::watch_progress(TimePoint now) {
  progress_due_ = TimePoint::max();
  for (Backend& backend : backends_) {
    if (backend.inflight == 0) continue;
    const TimePoint at = stuck_at(backend);
    if (now >= at) {
      stalls_.push_back({id_of(backend), true, backend.stuck, backend.inflight,
                         now - backend.progress.quiet_since()});
      backend.stuck = true;
      backend.breaker.on_stuck(now);
      stale_ = true;
    } else if (at != TimePoint::max()) {
      progress_due_ = std::min(progress_due_, std::max(at, now + kLook));
    }
  }
}

void Scheduler::set_moving(Backend& backend, TimePoint now) {
  backend.stuck = false;
  stalls_.push_back({id_of(backend), false, false, backend.inflight, Duration::zero()});
  backend.breaker.on_ready(now);
  stale_ = true;
}

}  // namespace batchproxy
