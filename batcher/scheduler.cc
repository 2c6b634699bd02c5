// batcher/scheduler.cc - see scheduler.h.
#include "batcher/scheduler.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace batchproxy {

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options) {
  assert(options.batch_size > 0);
}

Scheduler::~Scheduler() {
  deadlines_.clear();
  for (auto& queue : queues_) queue->tickets.clear();
}

void Scheduler::set_backend(BackendId id, std::uint32_t max_num_seqs) {
  assert(id < BackendSet::kMax && max_num_seqs > 0);
  if (id >= backends_.size()) backends_.resize(id + 1);
  backends_[id].max_num_seqs = max_num_seqs;
}

void Scheduler::set_ready(BackendId id, bool ready) {
  backends_.at(id).ready = ready;
}

void Scheduler::submit(Ticket& ticket) {
  ticket.verdict = {};
  if (!any_ready(ticket.backends)) return refuse(ticket, Errc::kNoBackend);
  if (queued_ + ticket.prompts > options_.max_queue && queued_ > 0) {
    return refuse(ticket, Errc::kQueueFull);
  }
  Queue& queue = queue_for(ticket.backends);
  queue.tickets.insert(place_by_arrival(queue, ticket), ticket);
  deadlines_.insert(deadlines_.end(), ticket);
  queue.prompts += ticket.prompts;
  queued_ += ticket.prompts;
}

bool Scheduler::cancel(Ticket& ticket) {
  if (!ticket.queue_hook.is_linked()) return false;
  unlink(ticket);
  return true;
}

void Scheduler::complete(BackendId backend, std::uint32_t prompts) {
  assert(backends_.at(backend).inflight >= prompts);
  backends_[backend].inflight -= prompts;
}

void Scheduler::take(TimePoint now, std::vector<Ticket*>& decided) {
  decided_ = &decided;
  refuse_expired(now);
  refuse_unserved();
  decided.insert(decided.end(), refused_.begin(), refused_.end());
  refused_.clear();
  if (queued_ == 0) return;

  switch (options_.policy) {
    case FlushPolicy::kOff:
      for (auto& queue : queues_) take_immediate(*queue);
      break;
    case FlushPolicy::kFixed:
      for (auto& queue : queues_) {
        take_immediate(*queue);
        take_fixed(*queue, now);
      }
      break;
    case FlushPolicy::kEager:
      take_eager();
      for (auto& queue : queues_) take_overdue(*queue, now);
      break;
  }
}

std::optional<TimePoint> Scheduler::next_due() const {
  std::optional<TimePoint> due;
  auto sooner = [&due](TimePoint at) { due = due ? std::min(*due, at) : at; };
  if (!refused_.empty()) return TimePoint::min();
  if (!deadlines_.empty()) sooner(deadlines_.begin()->deadline);
  for (const auto& queue : queues_) {
    if (queue->tickets.empty()) continue;
    if (options_.policy == FlushPolicy::kFixed) {
      sooner(fixed_due(*queue).at);
    } else if (options_.policy == FlushPolicy::kEager) {
      // Once every backend is at its limit only a completion can help, and that wakes us anyway.
      const bool may_exceed_room =
          std::any_of(backends_.begin(), backends_.end(), [&](const Backend& backend) {
            const auto id = static_cast<BackendId>(&backend - backends_.data());
            return queue->backends.contains(id) && backend.below_max_inflight();
          });
      if (may_exceed_room) sooner(queue->tickets.front().arrival + options_.batch_timeout);
    }
  }
  return due;
}

// --- queues -------------------------------------------------------------------------------------

Scheduler::Queue& Scheduler::queue_for(BackendSet backends) {
  for (auto& queue : queues_) {
    if (queue->backends == backends) return *queue;
  }
  queues_.push_back(std::make_unique<Queue>());
  queues_.back()->backends = backends;
  return *queues_.back();
}

// Before the first ticket that is younger. Looks from both ends at once: tickets of several I/O
// threads arrive nearly in order, and a retry is older than nearly all.
Scheduler::TicketList::iterator Scheduler::place_by_arrival(Queue& queue, const Ticket& ticket) {
  auto front = queue.tickets.begin();
  auto back = queue.tickets.end();
  while (front != back) {
    if (ticket.arrival < front->arrival) return front;
    ++front;
    auto before = std::prev(back);
    if (before->arrival <= ticket.arrival) return back;
    back = before;
  }
  return back;
}

void Scheduler::unlink(Ticket& ticket) {
  Queue& queue = queue_for(ticket.backends);
  queue.tickets.erase(queue.tickets.iterator_to(ticket));
  deadlines_.erase(deadlines_.iterator_to(ticket));
  queue.prompts -= ticket.prompts;
  queued_ -= ticket.prompts;
}

void Scheduler::refuse(Ticket& ticket, Errc why) {
  ticket.verdict.refused = why;
  refused_.push_back(&ticket);
}

void Scheduler::refuse_expired(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->deadline <= now) {
    Ticket& ticket = *deadlines_.begin();
    unlink(ticket);
    refuse(ticket, Errc::kQueueTimeout);
  }
}

// Its last backend has gone: answer at once rather than let clients wait without a prospect.
void Scheduler::refuse_unserved() {
  for (auto& queue : queues_) {
    if (queue->tickets.empty() || any_ready(queue->backends)) continue;
    while (!queue->tickets.empty()) {
      Ticket& ticket = queue->tickets.front();
      unlink(ticket);
      refuse(ticket, Errc::kNoBackend);
    }
  }
}

// --- decisions ----------------------------------------------------------------------------------

bool Scheduler::is_immediate(const Ticket& ticket) const {
  return options_.policy == FlushPolicy::kOff || ticket.streaming;
}

void Scheduler::take_immediate(Queue& queue) {
  for (auto it = queue.tickets.begin(); it != queue.tickets.end();) {
    Ticket& ticket = *it++;
    if (!is_immediate(ticket)) continue;
    const auto backend = least_loaded(queue.backends, [](const Backend& b) { return b.ready; });
    unlink(ticket);
    grant(ticket, *backend, FlushReason::kRoom);  // refuse_unserved() has seen to it that one is
    close_batch(backends_[*backend], FlushReason::kRoom);
  }
}

void Scheduler::take_eager() {
  BackendSet all = BackendSet::first(backends_.size());
  while (queued_ > 0) {
    const auto backend = least_loaded(all, [this](const Backend& b) {
      return b.has_room() && oldest_for(static_cast<BackendId>(&b - backends_.data())) != nullptr;
    });
    if (!backend) break;
    Ticket& ticket = *oldest_for(*backend);
    unlink(ticket);
    grant(ticket, *backend, draining_ ? FlushReason::kDrain : FlushReason::kRoom);
  }
  for (auto& backend : backends_) {
    close_batch(backend, draining_ ? FlushReason::kDrain : FlushReason::kRoom);
  }
}

void Scheduler::take_overdue(Queue& queue, TimePoint now) {
  while (!queue.tickets.empty() && queue.tickets.front().arrival + options_.batch_timeout <= now) {
    const auto backend =
        least_loaded(queue.backends, [](const Backend& b) { return b.below_max_inflight(); });
    if (!backend) break;
    Ticket& ticket = queue.tickets.front();
    unlink(ticket);
    grant(ticket, *backend, FlushReason::kTimeout);
  }
  for (auto& backend : backends_) close_batch(backend, FlushReason::kTimeout);
}

void Scheduler::take_fixed(Queue& queue, TimePoint now) {
  while (queue.prompts >= options_.batch_size) cut_batch(queue, FlushReason::kFull);
  if (queue.tickets.empty()) return;
  const Due due = fixed_due(queue);
  if (draining_) {
    cut_batch(queue, FlushReason::kDrain);
  } else if (due.at <= now) {
    cut_batch(queue, due.reason);
  }
}

// When the queue leaves underfull, and why: its oldest member's batch_timeout, or the moment at
// which some member has spent half of the time that its client gives it.
Scheduler::Due Scheduler::fixed_due(const Queue& queue) const {
  Due due{queue.tickets.front().arrival + options_.batch_timeout, FlushReason::kTimeout};
  for (const Ticket& ticket : queue.tickets) {
    const TimePoint half = ticket.arrival + (ticket.deadline - ticket.arrival) / 2;
    if (half < due.at) due = {half, FlushReason::kDeadline};
  }
  return due;
}

// Sends the head of `queue`, up to batch_size prompts, as one batch to the least loaded backend.
void Scheduler::cut_batch(Queue& queue, FlushReason reason) {
  const auto backend = least_loaded(queue.backends, [](const Backend& b) { return b.ready; });
  Backend& target = backends_[*backend];
  while (!queue.tickets.empty()) {
    Ticket& ticket = queue.tickets.front();
    if (!target.open.empty() && target.open_prompts + ticket.prompts > options_.batch_size) break;
    unlink(ticket);
    grant(ticket, *backend, reason);
    if (target.open.empty()) break;  // grant() has closed the batch: it was full
  }
  close_batch(target, reason);
}

void Scheduler::grant(Ticket& ticket, BackendId id, FlushReason reason) {
  Backend& backend = backends_[id];
  if (!backend.open.empty() && backend.open_prompts + ticket.prompts > options_.batch_size) {
    close_batch(backend, reason);
  }
  ticket.verdict.backend = id;
  ticket.verdict.refused.reset();
  backend.open.push_back(&ticket);
  backend.open_prompts += ticket.prompts;
  backend.inflight += ticket.prompts;
  if (backend.open_prompts >= options_.batch_size) close_batch(backend, FlushReason::kFull);
}

void Scheduler::close_batch(Backend& backend, FlushReason reason) {
  if (backend.open.empty()) return;
  const BatchInfo batch{++last_batch_, backend.open_prompts, reason};
  for (Ticket* ticket : backend.open) {
    ticket->verdict.batch = batch;
    decided_->push_back(ticket);
  }
  ++batches_[static_cast<std::size_t>(reason)];
  backend.open.clear();
  backend.open_prompts = 0;
}

// --- backends -----------------------------------------------------------------------------------

template <class Admissible>
std::optional<BackendId> Scheduler::least_loaded(BackendSet among, Admissible admissible) {
  std::optional<BackendId> best;
  const auto count = static_cast<BackendId>(backends_.size());
  for (BackendId i = 0; i < count; ++i) {
    const BackendId id = (i + rotation_) % count;
    if (!among.contains(id) || !admissible(backends_[id])) continue;
    if (!best || backends_[id].inflight < backends_[*best].inflight) best = id;
  }
  if (best) rotation_ = *best + 1;
  return best;
}

Ticket* Scheduler::oldest_for(BackendId backend) {
  Ticket* oldest = nullptr;
  for (auto& queue : queues_) {
    if (queue->tickets.empty() || !queue->backends.contains(backend)) continue;
    Ticket& head = queue->tickets.front();
    if (oldest == nullptr || head.arrival < oldest->arrival) oldest = &head;
  }
  return oldest;
}

bool Scheduler::any_ready(BackendSet among) const {
  for (BackendId id = 0; id < backends_.size(); ++id) {
    if (among.contains(id) && backends_[id].ready) return true;
  }
  return false;
}

}  // namespace batchproxy
