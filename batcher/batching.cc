// batcher/batching.cc - the part of Scheduler (scheduler.h) that turns granted tickets into batches
// and merged calls.
#include <algorithm>

#include "batcher/scheduler.h"

namespace batchproxy {

namespace {
constexpr std::size_t kMateWindow = 4;  // batches of waiting tickets that are looked at for mates
}

// Sends the head of `queue`, up to batch_size prompts, as one batch to the least loaded backend.
void Scheduler::cut_batch(Queue& queue, FlushReason reason) {
  const auto id = least_loaded(queue.backends, &Backend::is_ready);
  Backend& target = backends_[*id];
  const std::uint64_t batches_before = last_batch_;
  while (!queue.central.empty()) {
    Ticket* const first = fit_head(queue.central, nullptr);
    if (first == nullptr) break;
    Ticket& ticket = *first;
    if (!target.open.empty() && target.open_prompts + ticket.prompts > options_.batch_size) break;
    const std::uint32_t left =
        options_.batch_size - std::min(options_.batch_size, target.open_prompts);
    grant_with_mates(ticket, *id, reason, target.inflight + left);
    if (last_batch_ != batches_before) return;  // it was full
    if (!target.ready) break;                   // that was the one request that it is probed with
  }
  close_batch(target, reason);
}

// Grants `leader`, and whatever may share its call, up to `max_inflight` prompts of the backend.
void Scheduler::grant_with_mates(Ticket& leader, BackendId id, FlushReason reason,
                                 std::uint32_t max_inflight) {
  Backend& backend = backends_[id];
  // A probe goes alone.
  const bool packs = packs_now(leader, backend) && backend.breaker.is_closed();
  if (packs && options_.policy == FlushPolicy::kEager) close_batch(backend, reason);
  grant(leader, id, reason);
  if (packable(leader, backend)) {
    leader.verdict.holds_call = true;
    ++backend.calls;
  }
  // grant() closes a batch that is full: then nobody can join.
  if (!packs || backend.open.empty()) return;
  const std::uint32_t room = max_inflight - std::min(max_inflight, backend.inflight);
  find_mates(leader, id, std::min(room, options_.batch_size - backend.open_prompts));
  for (Ticket* mate : mates_) {
    mate->verdict.is_mate = true;
    leader.verdict.mates.push_back(mate);
    grant(*mate, id, reason);
  }
  if (!mates_.empty()) {
    ++gains_.merged_calls;
    gains_.merged_tickets += 1 + mates_.size();
  }
}

// Fills mates_ with up to `most` waiting tickets that `leader`'s call can carry, in order of turn.
// A client whose next ticket does not fit contributes none of those behind it.
void Scheduler::find_mates(const Ticket& leader, BackendId id, std::uint32_t most) {
  mates_.clear();
  passed_clients_.clear();
  Queue& queue = queue_for(leader.among);
  Backend& backend = backends_[id];
  auto central = queue.central.begin();
  auto affine = backend.affine.begin();
  for (std::size_t seen = 0; mates_.size() < most && seen < kMateWindow * options_.batch_size;
       ++seen) {
    const bool none_affine = affine == backend.affine.end();
    if (none_affine && central == queue.central.end()) break;
    const bool take_central =
        none_affine || (central != queue.central.end() && EarlierTurn()(*central, *affine));
    Ticket& ticket = take_central ? *central++ : *affine++;
    const bool passed = std::ranges::find(passed_clients_, ticket.client) != passed_clients_.end();
    if (!passed && ticket.among == leader.among && ticket.identity == leader.identity &&
        ticket.packing == leader.packing && packs_now(ticket, backend) &&
        prospect(ticket, &backend) == Prospect::kFine) {
      mates_.push_back(&ticket);
    } else if (!passed) {
      passed_clients_.push_back(ticket.client);
    }
  }
}

// The first waiting ticket that `id` could send by itself, while those that share calls gather.
Ticket* Scheduler::first_alone(BackendId id) {
  Backend& backend = backends_[id];
  Ticket* first = nullptr;
  const auto look = [&](Turns& turns) {
    std::size_t seen = 0;
    for (Ticket& ticket : turns) {
      if (++seen > kMateWindow * options_.batch_size) break;
      if (packs_now(ticket, backend) || prospect(ticket, &backend) != Prospect::kFine) continue;
      if (first == nullptr || EarlierTurn()(ticket, *first)) first = &ticket;
      break;
    }
  };
  look(backend.affine);
  for (auto& queue : queues_) {
    if (queue->backends.contains(id)) look(queue->central);
  }
  return first;
}

bool Scheduler::packable(const Ticket& ticket, const Backend& backend) const {
  const bool always = options_.merge == MergePolicy::kAlways;
  switch (ticket.packing) {
    case Packing::kCompletion:
      return always ||
             (options_.merge == MergePolicy::kAuto && options_.policy == FlushPolicy::kEager &&
              ticket.brief && backend.traits.exact_usage);
    case Packing::kChat:
      return always && backend.traits.chat_batches;
    case Packing::kNever:
      break;
  }
  return false;
}

bool Scheduler::packs_now(const Ticket& ticket, const Backend& backend) const {
  return packable(ticket, backend) &&
         (options_.merge == MergePolicy::kAlways || front_ends_bound(ticket.among));
}

// Whether it is so with all of them: one that waits for its calls to fill while others take at once
// would be left with too little.
bool Scheduler::front_ends_bound(BackendSet among) const {
  return std::ranges::all_of(backends_, [&](const Backend& backend) {
    return !backend.ready || !among.contains(id_of(backend)) || backend.room.front_end_bound();
  });
}

// Takes `ticket` out of its queue into the open batch of backend `id`.
void Scheduler::grant(Ticket& ticket, BackendId id, FlushReason reason) {
  unlink(ticket);
  --clients_.find(ticket.client)->second.waiting;
  Backend& backend = backends_[id];
  if (!backend.open.empty() && backend.open_prompts + ticket.prompts > options_.batch_size) {
    close_batch(backend, reason);
  }
  const bool affine = ticket.affine == id;
  if (affine) ++gains_.affine;
  if (options_.affinity) {
    // Of a prompt whose beginning is there already at least half needs no new place.
    prefixes_.sent(ticket.prefix, affine ? ticket.tokens / 2 : ticket.tokens, id);
  }
  turn_ = std::max(turn_, ticket.turn);
  ticket.verdict.backend = id;
  ticket.verdict.generation = backend.breaker.generation();
  ticket.verdict.takes_room = !ticket.immediate;
  ticket.verdict.timed = !ticket.streaming;
  ticket.verdict.since = now_;
  ticket.verdict.arrival = ticket.arrival;
  ticket.verdict.client = ticket.client;
  ticket.verdict.refused.reset();
  backend.open.push_back(&ticket);
  backend.open_prompts += ticket.prompts;
  if (ticket.immediate) {
    backend.roomless += ticket.prompts;
    return;
  }
  backend.progress.on_granted(backend.inflight == 0 || backend.stuck, now_);
  const bool looks = options_.stuck_timeout > Duration::zero();
  if (looks && (progress_due_ == TimePoint::max() || !backend.breaker.is_closed())) {
    progress_due_ = std::min(progress_due_, now_ + kLook);
  }
  backend.inflight += ticket.prompts;
  flying_ += ticket.prompts;
  if (!backend.breaker.is_closed()) {
    backend.breaker.on_granted(now_);
    refresh(backend, now_);
  }
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

void Scheduler::close_batches(FlushReason reason) {
  for (Backend& backend : backends_) close_batch(backend, reason);
}

}  // namespace batchproxy
