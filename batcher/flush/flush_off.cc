// batcher/flush/flush_off.cc - see flush_off.h.
#include "batcher/flush/flush_off.h"

#include "batcher/decision/decision.h"

namespace batchproxy {

void FlushOff::take(Decision& decision) const {
  for (const auto& queue : decision.turns.queues()) {
    decision.take_at_once(*queue);
    decision.take_each(*queue, [](const Ticket&) { return true; });
  }
}

// What waits, waits for a backend that takes requests.
std::optional<TimePoint> FlushOff::due(const Queue&, const Fleet&, const SchedulerOptions&) const {
  return std::nullopt;
}

bool FlushOff::pauses_when_full(const Backend&) const {
  return false;
}

}  // namespace batchproxy
