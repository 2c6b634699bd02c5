// batcher/flush/flush_off.h - FlushOff: every ticket leaves at once, to the backend with the fewest
// prompts in flight.
//
// Nothing is gathered, and nothing waits while some backend takes requests.
//
// Threading: const and without state; called on the lane.
#pragma once

#include "batcher/base/flush_rule.h"

namespace batchproxy {

class FlushOff final : public FlushRule {
 public:
  void take(Decision& decision) const override;
  std::optional<TimePoint> due(const Queue& queue, const Fleet& fleet,
                               const SchedulerOptions& options) const override;
  bool goes_by_room() const override { return false; }
  bool pauses_when_full(const Backend& backend) const override;
};

}  // namespace batchproxy
