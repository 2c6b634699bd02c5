// batcher/flush/flush_fixed.h - FlushFixed: the classic collector.
//
// A queue leaves when it holds batch_size prompts, when its oldest ticket has waited batch_timeout,
// or when a member has spent half of its time. The batch goes to the backend with the fewest
// prompts in flight. Streams do not wait.
//
// Threading: const and without state; called on the lane.
#pragma once

#include "batcher/base/flush_rule.h"

namespace batchproxy {

class FlushFixed final : public FlushRule {
 public:
  void take(Decision& decision) const override;
  std::optional<TimePoint> due(const Queue& queue, const Fleet& fleet,
                               const SchedulerOptions& options) const override;
  bool goes_by_room() const override { return false; }
  bool pauses_when_full(const Backend& backend) const override;
};

}  // namespace batchproxy
