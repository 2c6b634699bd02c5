// batcher/flush/flush_eager.h - FlushEager: a ticket leaves the moment a backend has room for it.
//
// The backend with the fewest prompts in flight takes the next ticket in turn. A ticket that has
// waited batch_timeout goes beyond the room, but never beyond 2 x max_num_seqs. What is granted to
// one backend in one go is a batch of at most batch_size prompts.
//
// Threading: const and without state; called on the lane.
#pragma once

#include "batcher/base/flush_rule.h"

namespace batchproxy {

class FlushEager final : public FlushRule {
 public:
  void take(Decision& decision) const override;
  std::optional<TimePoint> due(const Queue& queue, const Fleet& fleet,
                               const SchedulerOptions& options) const override;
  bool goes_by_room() const override { return true; }
  bool pauses_when_full(const Backend& backend) const override;
};

}  // namespace batchproxy
