// proxy/thread/in_flight.h - InFlight: a call under way that can be told that its backend stands
// still.
//
// Threading: confined to one I/O thread.
#pragma once

#include <boost/intrusive/list.hpp>

#include "batcher/scheduler.h"

namespace batchproxy {

class InFlight : public boost::intrusive::list_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual BackendId called() const = 0;
  // Called once for each time that it stops. May end the call.
  virtual void on_stuck() = 0;
  // The request comes back, if the recall is for it.
  virtual void on_recall(const Recall& recall) = 0;

 protected:
  ~InFlight() = default;
};
using InFlightList = boost::intrusive::list<InFlight, boost::intrusive::constant_time_size<false>>;

// Tells all in `calls` that are on `backend`, however many of them end by it.
template <class Tell>
void tell_those_on(InFlightList& calls, BackendId backend, Tell tell) {
  InFlightList to_tell;
  for (auto it = calls.begin(); it != calls.end();) {
    InFlight& call = *it++;
    if (call.called() != backend) continue;
    call.unlink();
    to_tell.push_back(call);
  }
  while (!to_tell.empty()) {
    InFlight& call = to_tell.front();
    call.unlink();
    calls.push_back(call);
    tell(call);
  }
}

inline void tell_stuck(InFlightList& calls, BackendId backend) {
  tell_those_on(calls, backend, [](InFlight& call) { call.on_stuck(); });
}

inline void tell_recall(InFlightList& calls, const Recall& recall) {
  tell_those_on(calls, recall.backend, [&recall](InFlight& call) { call.on_recall(recall); });
}

}  // namespace batchproxy
