// batcher/base/flush_rule.h - FlushRule: when waiting tickets leave, and as which batches. One
// class per policy; the scheduler knows only this interface.
//
// A rule has no state. It looks at the queues and the backends of the Decision that it is given,
// and grants by it. What take() left behind is asked of the same object by due(), so that the lane
// neither sleeps too long nor wakes for nothing.
//
// Threading: const and without state; called on the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/scheduler_options.h"
#include "batcher/base/time.h"

namespace batchproxy {

struct Backend;
class Decision;
class Fleet;
struct Queue;

class FlushRule {
 public:
  // Grants all that may leave now. It calls Decision::take_at_once() for each queue: what needs no
  // slot of an engine never waits.
  virtual void take(Decision& decision) const = 0;

  // When take() may grant something of `queue`, which is not empty and has a backend that is up, if
  // nothing else happens; nothing when only a completion or a change can help.
  virtual std::optional<TimePoint> due(const Queue& queue, const Fleet& fleet,
                                       const SchedulerOptions& options) const = 0;

  // Whether backends are given what they have room for, and the rest waits here. Then it pays to
  // wait for a backend that holds a prompt's beginning, to merge calls under load, and to let
  // clients stand back that will have left.
  virtual bool goes_by_room() const = 0;

  // Whether a backend that refused a request as too many is left alone for a while.
  virtual bool pauses_when_full(const Backend& backend) const = 0;

 protected:
  ~FlushRule() = default;
};

}  // namespace batchproxy
