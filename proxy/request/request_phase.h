// proxy/request/request_phase.h - RequestPhase: whether a request counts as waiting or as being
// worked on.
//
// Threading: confined to one I/O thread.
#pragma once

#include "proxy/metrics/metrics.h"

namespace batchproxy {

// Counts a request as queued, or as in flight while at least one of its jobs has a backend.
class RequestPhase {
 public:
  explicit RequestPhase(ThreadMetrics& metrics) : metrics_(metrics) { metrics_.queued.add(); }
  ~RequestPhase() {
    Count& phase = calling_ > 0 ? static_cast<Count&>(metrics_.inflight) : metrics_.queued;
    phase.sub();
  }
  RequestPhase(const RequestPhase&) = delete;
  RequestPhase& operator=(const RequestPhase&) = delete;

  void begin_call() {
    if (calling_++ > 0) return;
    metrics_.queued.sub();
    metrics_.inflight.add();
  }
  void end_call() {
    if (--calling_ > 0) return;
    metrics_.inflight.sub();
    metrics_.queued.add();
  }

 private:
  ThreadMetrics& metrics_;
  int calling_ = 0;
};

}  // namespace batchproxy
