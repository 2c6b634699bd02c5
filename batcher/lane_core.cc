// batcher/lane_core.cc - see lane_core.h.
#include "batcher/lane_core.h"

#include <utility>

namespace batchproxy {

LaneMessage LaneMessage::submit(Ticket& ticket) {
  return {.kind = Kind::kSubmit, .ticket = &ticket};
}

LaneMessage LaneMessage::cancel(Ticket& ticket, bool client_left) {
  return {.kind = Kind::kCancel,
          .ticket = &ticket,
          .outcome = client_left ? Outcome::kLeft : Outcome::kUnknown};
}

LaneMessage LaneMessage::complete(const Ticket& ticket, Outcome outcome, Duration pause) {
  return {.kind = Kind::kComplete,
          .outcome = outcome,
          .prompts = ticket.prompts,
          .grant = ticket.verdict,
          .batch = ticket.verdict.batch.id,
          .pause = pause};
}

void LaneCore::add_backend(BackendId id, const BackendTraits& traits) {
  scheduler_.add_backend(id, traits);
  if (id >= flying_.size()) flying_.resize(id + 1);
  flying_[id] = Ages();
  stats_.takes[id] = LatencyHistogram();
}

void LaneCore::set_routes(Routes routes) {
  routes_ = std::move(routes);
  const auto find = [this](std::uint64_t model) { return routes_.find(model); };
  scheduler_.reroute(find, routes_.complete);
}

void LaneCore::observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now) {
  scheduler_.observe(id, sample, now);
  if (scheduler_.has_stalls()) tell_stalls();
}

void LaneCore::set_pieces(BackendId id, std::uint64_t pieces, TimePoint now) {
  if (std::exchange(pieces_[id], pieces) != pieces) scheduler_.on_bytes(id, now);
}

void LaneCore::handle(const LaneMessage& message, TimePoint now) {
  switch (message.kind) {
    case LaneMessage::Kind::kSubmit:
      return submit(*message.ticket);
    case LaneMessage::Kind::kCancel:
      return cancel(*message.ticket, message.outcome == Outcome::kLeft, now);
    case LaneMessage::Kind::kComplete:
      return complete(message, now);
  }
}

void LaneCore::submit(Ticket& ticket) {
  if (ticket.routes == routes_.version || knows_server(ticket)) {
    waiting_.add(ticket.arrival);
    return scheduler_.submit(ticket);
  }
  ticket.verdict = {};
  ticket.verdict.refused = Errc::kUnknownModel;
  give_back(ticket);
}

// For a ticket made with another table of models than ours: who serves it may have changed. One
// with a newer table waits until we have that too.
bool LaneCore::knows_server(Ticket& ticket) {
  const bool is_older = ticket.routes < routes_.version;
  ticket.backends = routes_.find(ticket.model) - ticket.never;
  ticket.routes = routes_.version;
  return !is_older || !ticket.backends.empty() || !routes_.complete;
}

void LaneCore::cancel(Ticket& ticket, bool client_left, TimePoint now) {
  if (client_left) scheduler_.on_left(ticket, now);
  if (scheduler_.cancel(ticket)) {
    waiting_.remove(ticket.arrival);
    ticket.verdict.refused = Errc::kCancelled;
    give_back(ticket);
  }
  give_back(ticket);  // for the cancel() itself
}

void LaneCore::complete(const LaneMessage& message, TimePoint now) {
  scheduler_.complete(message.grant, message.prompts, message.outcome, now, message.pause);
  const Grant& grant = message.grant;
  flying_[grant.backend].remove(grant.since);
  // Work on tokens alone says nothing about the engine's pace.
  if (message.outcome == Outcome::kGood && grant.takes_room) {
    stats_.takes[grant.backend].observe(now - grant.since);
  }
  if (scheduler_.has_stalls()) tell_stalls();
  if (!events_.on_batch_done) return;
  const bool ok = message.outcome == Outcome::kGood;
  const auto done = ledger_.completed(message.batch, message.prompts, ok, now);
  if (done) events_.on_batch_done(*done);
}

const std::vector<Ticket*>& LaneCore::decide(TimePoint now) {
  decided_.clear();
  scheduler_.take(now, decided_);
  if (scheduler_.has_stalls()) tell_stalls();
  if (scheduler_.has_recalls()) tell_recalls();
  for (Ticket* ticket : decided_) {
    if (events_.on_batch_done && !ticket->verdict.refused) ledger_.granted(ticket->verdict, now);
    note_decided(*ticket, now);
    give_back(*ticket);
  }
  publish();
  if (!decided_.empty()) publish_leaving();
  return decided_;
}

void LaneCore::note_decided(const Ticket& ticket, TimePoint now) {
  waiting_.remove(ticket.arrival);
  if (ticket.verdict.refused) return;
  flying_[ticket.verdict.backend].add(ticket.verdict.since);
  stats_.waits.observe(now - ticket.arrival);
  // The tickets of a batch come one behind the other.
  const BatchInfo& batch = ticket.verdict.batch;
  if (std::exchange(last_batch_, batch.id) != batch.id) {
    stats_.batch_prompts.observe(batch.prompts);
  }
}

void LaneCore::tell_stalls() {
  for (const Stall& stall : scheduler_.take_stalls()) {
    if (events_.on_stall) events_.on_stall(stall);
  }
}

void LaneCore::tell_recalls() {
  for (const Recall& recall : scheduler_.take_recalls()) {
    if (events_.on_recall) events_.on_recall(recall);
  }
}

void LaneCore::publish() {
  stats_.queued.store(scheduler_.queued(), std::memory_order_relaxed);
  stats_.oldest_waiting = waiting_.oldest();
  stats_.waits_for.store(scheduler_.waits_for(), std::memory_order_relaxed);
  for (const BackendId id : scheduler_.take_touched()) {
    stats_.inflight[id].store(scheduler_.inflight(id), std::memory_order_relaxed);
    stats_.room[id].store(scheduler_.room(id), std::memory_order_relaxed);
    stats_.failing[id].store(scheduler_.failing(id), std::memory_order_relaxed);
    stats_.stuck[id].store(scheduler_.stuck(id), std::memory_order_relaxed);
    stats_.oldest[id] = flying_[id].oldest();
    stats_.quiet_since[id] = scheduler_.quiet_since(id);
  }
}

// What only a ticket that leaves can change.
void LaneCore::publish_leaving() {
  const Scheduler::Gains& gains = scheduler_.gains();
  stats_.affine.store(gains.affine, std::memory_order_relaxed);
  stats_.merged_calls.store(gains.merged_calls, std::memory_order_relaxed);
  stats_.merged_tickets.store(gains.merged_tickets, std::memory_order_relaxed);
  for (const FlushReason reason : kAllFlushReasons) {
    stats_.batches[static_cast<std::size_t>(reason)].store(scheduler_.batches(reason),
                                                           std::memory_order_relaxed);
  }
}

}  // namespace batchproxy
