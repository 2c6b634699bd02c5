// batcher/decision/waits_for.h - WaitsFor: what a ticket that waits does wait for. The lane alone
// knows: seen from outside, an engine that is given little and one that lacks the model look alike.
//
// Threading: confined to the lane; the words are constants.
#pragma once

#include <cstdint>

#include "batcher/base/scheduler_options.h"
#include "batcher/base/ticket.h"
#include "batcher/base/time.h"
#include "batcher/fleet/fleet.h"

namespace batchproxy {

class Merger;

enum class WaitsFor : std::uint8_t {
  kNothing,
  kModel,      // nobody is known to serve its model
  kBackend,    // none of those that serve it is there
  kHealth,     // those that are there stand still, or their calls fail
  kPause,      // they are left alone for a moment: they asked for it, or refuse what is too much
  kAlone,      // it may have brought engines down: it is to be alone on one
  kSuspect,    // the one that could take it is kept for such a ticket
  kRampUp,     // they have come back just now, and are given little at first
  kRoom,       // they have as many as they take
  kOthers,     // it is of a batch: all others go first
  kBeginning,  // for the backend that has its prompt's beginning
  kCall,       // for others to share its call
  kInTime,     // for one that can still answer it in time
  kBatch,      // for a batch to fill

  kCount
};

// Of a ticket that waits although all that could be granted at `now` has been.
WaitsFor waits_for(const Ticket& ticket, const Fleet& fleet, const Merger& merger,
                   const SchedulerOptions& options, TimePoint now);

}  // namespace batchproxy
