// batcher/flush/flush_fixed.cc - see flush_fixed.h.
#include "batcher/flush/flush_fixed.h"

#include <algorithm>

#include "batcher/decision/decision.h"

namespace batchproxy {

namespace {

struct Due {
  TimePoint at;
  FlushReason reason;
};

// When the queue leaves underfull, and why: its oldest member's batch_timeout, or the moment at
// which some member has spent half of the time that its client gives it.
Due due_of(const Queue& queue, const SchedulerOptions& options) {
  Due due{queue.arrivals.begin()->arrival + options.batch_timeout, FlushReason::kTimeout};
  for (const Ticket& ticket : queue.central) {
    const TimePoint half = ticket.arrival + (ticket.deadline - ticket.arrival) / 2;
    if (half < due.at) due = {half, FlushReason::kDeadline};
  }
  return due;
}

// Sends the head of `queue`, up to batch_size prompts, as one batch to the least loaded backend.
void cut_batch(Decision& decision, Queue& queue, FlushReason reason) {
  const std::uint32_t batch_size = decision.options.batch_size;
  const BackendId id = *decision.balancer.least_loaded(queue.backends, &Backend::is_ready);
  const Backend& target = decision.fleet[id];
  const std::uint64_t batches_before = decision.batches.last();
  while (!queue.central.empty()) {
    Ticket* const first = decision.first(queue.central, nullptr);
    if (first == nullptr) break;
    const std::uint32_t held = decision.batches.open_prompts(id);
    if (held > 0 && held + first->prompts > batch_size) break;
    const std::uint32_t left = batch_size - std::min(batch_size, held);
    decision.grant_merged(*first, id, reason, target.inflight + left);
    if (decision.batches.last() != batches_before) return;  // it was full
    if (!target.ready) break;  // that was the one request that it is probed with
  }
  decision.close_batch(id, reason);
}

void take_queue(Decision& decision, Queue& queue) {
  const SchedulerOptions& options = decision.options;
  const auto any_ready = [&] { return decision.fleet.any(queue.backends, &Backend::is_ready); };
  while (decision.first(queue.central, nullptr) != nullptr &&
         queue.central_prompts >= options.batch_size && any_ready()) {
    cut_batch(decision, queue, FlushReason::kFull);
  }
  if (queue.central.empty() || !any_ready()) return;
  const Due due = due_of(queue, options);
  if (decision.draining) {
    cut_batch(decision, queue, FlushReason::kDrain);
  } else if (due.at <= decision.now) {
    cut_batch(decision, queue, due.reason);
  }
}

}  // namespace

void FlushFixed::take(Decision& decision) const {
  for (const auto& queue : decision.turns.queues()) {
    decision.take_at_once(*queue);
    decision.take_each(*queue, [](const Ticket& ticket) { return ticket.streaming; });
  }
  for (const auto& queue : decision.turns.queues()) take_queue(decision, *queue);
}

// While no backend takes it a completion must come first, or a change that is looked for.
std::optional<TimePoint> FlushFixed::due(const Queue& queue, const Fleet& fleet,
                                         const SchedulerOptions& options) const {
  if (queue.central.empty() || !fleet.any(queue.backends, &Backend::is_ready)) return std::nullopt;
  return due_of(queue, options).at;
}

// The room is not looked at, so each refusal makes it rest.
bool FlushFixed::pauses_when_full(const Backend&) const {
  return true;
}

}  // namespace batchproxy
