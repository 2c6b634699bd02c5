// batcher/turns/turns.cc - see turns.h.
#include "batcher/turns/turns.h"

namespace batchproxy {

namespace {
constexpr std::size_t kManyQueues = 32;  // then those without tickets are forgotten
}  // namespace

Turns::~Turns() {
  deadlines_.clear();
  suspects_.clear();
  for (Affine& affine : affine_) affine.turns.clear();
  for (auto& queue : queues_) {
    queue->central.clear();
    queue->at_once.clear();
    queue->late.clear();
    queue->arrivals.clear();
  }
}

void Turns::add_backend(BackendId id) {
  if (id >= affine_.size()) affine_.resize(id + 1);
  release(id);
}

// --- tickets come and go ------------------------------------------------------------------------

void Turns::enter(Ticket& ticket, std::optional<BackendId> home, TimePoint now) {
  deadlines_.insert(deadlines_.end(), ticket);
  queued_ += ticket.prompts;
  if (ticket.suspect) {
    suspects_.insert(ticket);
    return;
  }
  Queue& queue = queue_for(ticket.among, now);
  queue.arrivals.insert(queue.arrivals.end(), ticket);
  queue.prompts += ticket.prompts;
  put(ticket, queue, home);
}

void Turns::leave(Ticket& ticket) {
  deadlines_.erase(deadlines_.iterator_to(ticket));
  queued_ -= ticket.prompts;
  if (ticket.suspect) {
    suspects_.erase(suspects_.iterator_to(ticket));
    return;
  }
  Queue& queue = queue_of(ticket);
  take_out(ticket, queue);
  queue.arrivals.erase(queue.arrivals.iterator_to(ticket));
  queue.prompts -= ticket.prompts;
}

void Turns::drop(Ticket& ticket, TimePoint now) {
  leave(ticket);
  clients_.on_dropped(ticket, now);
  sharing_.on_ended(ticket.beginning, ticket.prompts);
}

void Turns::refuse(Ticket& ticket, Errc why) {
  ticket.verdict.refused = why;
  refused_.push_back(&ticket);
}

void Turns::drop_and_refuse(Ticket& ticket, Errc why, TimePoint now) {
  drop(ticket, now);
  refuse(ticket, why);
}

void Turns::refuse_expired(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->deadline <= now) {
    Ticket& ticket = *deadlines_.begin();
    drop_and_refuse(ticket, why_unserved(ticket.among), now);
  }
}

// A client shall not wait without a prospect.
void Turns::refuse_unserved(Duration hold_timeout, TimePoint now) {
  const auto hopeless = [&](const Ticket& ticket, const Queue& queue) {
    return queue.down_since && std::max(ticket.arrival, *queue.down_since) + hold_timeout <= now;
  };
  for (auto& queue : queues_) {
    while (!queue->arrivals.empty() && hopeless(*queue->arrivals.begin(), *queue)) {
      Ticket& ticket = *queue->arrivals.begin();
      drop_and_refuse(ticket, why_unserved(ticket.among), now);
    }
  }
  for (auto it = suspects_.begin(); it != suspects_.end();) {
    Ticket& ticket = *it++;
    if (!hopeless(ticket, queue_for(ticket.among, now))) continue;
    drop_and_refuse(ticket, why_unserved(ticket.among), now);
  }
}

// While an engine is there, however busy or ill, it is not true that there is none.
Errc Turns::why_unserved(BackendSet among) const {
  return fleet_.any(among, &Backend::has_server) ? Errc::kQueueTimeout : Errc::kNoBackend;
}

void Turns::hand_over_refused(std::vector<Ticket*>& decided) {
  decided.insert(decided.end(), refused_.begin(), refused_.end());
  refused_.clear();
}

// --- within a queue -----------------------------------------------------------------------------

Queue& Turns::queue_for(BackendSet backends, TimePoint now) {
  for (auto& queue : queues_) {
    if (queue->backends == backends) return *queue;
  }
  if (queues_.size() >= kManyQueues) {
    std::erase_if(queues_, [](const auto& queue) { return queue->prompts == 0; });
  }
  queues_.push_back(std::make_unique<Queue>());
  queues_.back()->backends = backends;
  look_at(*queues_.back(), now);
  return *queues_.back();
}

BackendSet Turns::waited_for() const {
  BackendSet all = with_affine_;
  for (const auto& queue : queues_) {
    if (!queue->central.empty() || !queue->late.empty()) all |= queue->backends;
  }
  return all;
}

// A ticket that waits has its queue already.
Queue& Turns::queue_of(const Ticket& ticket) {
  return **std::ranges::find_if(queues_,
                                [&](const auto& queue) { return queue->backends == ticket.among; });
}

TurnSet& Turns::place_of(const Ticket& ticket, Queue& queue) {
  if (ticket.affine) return affine_[*ticket.affine].turns;
  if (ticket.immediate) return queue.at_once;
  return ticket.late ? queue.late : queue.central;
}

void Turns::put(Ticket& ticket, Queue& queue, std::optional<BackendId> home) {
  ticket.affine = home;
  TurnSet& place = place_of(ticket, queue);
  place.insert(place.end(), ticket);
  if (home) with_affine_.insert(*home);
  count_in(ticket, queue, ticket.prompts);
}

void Turns::take_out(Ticket& ticket, Queue& queue) {
  TurnSet& place = place_of(ticket, queue);
  place.erase(place.iterator_to(ticket));
  if (ticket.affine && place.empty()) with_affine_.erase(*ticket.affine);
  count_in(ticket, queue, -std::size_t{ticket.prompts});
}

// What waits for one backend, and what for any, is counted: the load to come.
void Turns::count_in(const Ticket& ticket, Queue& queue, std::size_t prompts) {
  if (ticket.affine) {
    affine_[*ticket.affine].prompts += prompts;
  } else if (!ticket.immediate && !ticket.late) {
    queue.central_prompts += prompts;
  }
}

void Turns::move(Ticket& ticket, std::optional<BackendId> home) {
  Queue& queue = queue_of(ticket);
  take_out(ticket, queue);
  put(ticket, queue, home);
}

void Turns::release(BackendId id) {
  TurnSet& turns = affine_[id].turns;
  while (!turns.empty()) move(*turns.begin(), std::nullopt);
}

void Turns::stand_back(Ticket& ticket) {
  Queue& queue = queue_of(ticket);
  take_out(ticket, queue);
  ticket.late = true;
  put(ticket, queue, std::nullopt);
}

void Turns::call_back() {
  for (auto& queue : queues_) {
    while (!queue->late.empty()) {
      Ticket& ticket = *queue->late.begin();
      take_out(ticket, *queue);
      ticket.late = false;
      put(ticket, *queue, std::nullopt);
    }
  }
}

// --- outages ------------------------------------------------------------------------------------

void Turns::look_at(Queue& queue, TimePoint now) {
  if (fleet_.any(queue.backends, &Backend::serves)) {
    queue.down_since.reset();
  } else if (!queue.down_since) {
    queue.down_since = now;
  }
}

BackendSet Turns::find_unserved(TimePoint now) {
  BackendSet unserved;
  for (auto& queue : queues_) {
    look_at(*queue, now);
    if (queue->down_since && queue->prompts > 0) unserved = unserved | queue->backends;
  }
  for (const Ticket& suspect : suspects_) {
    if (!fleet_.any(suspect.among, &Backend::serves)) unserved = unserved | suspect.among;
  }
  return unserved;
}

bool Turns::is_held_for(BackendId id) const {
  return std::ranges::any_of(queues_, [id](const auto& queue) {
    return queue->down_since && queue->prompts > 0 && queue->backends.contains(id);
  });
}

std::optional<TimePoint> Turns::hold_due(const Queue& queue, Duration hold_timeout) const {
  std::optional<TimePoint> oldest;
  const auto note = [&](const Ticket& ticket) {
    oldest = oldest ? std::min(*oldest, ticket.arrival) : ticket.arrival;
  };
  for (const Ticket& suspect : suspects_) {
    if (suspect.among == queue.backends) note(suspect);
  }
  if (!queue.arrivals.empty()) note(*queue.arrivals.begin());
  if (!oldest || !queue.down_since) return std::nullopt;
  return std::max(*oldest, *queue.down_since) + hold_timeout;
}

}  // namespace batchproxy
