// backends/health_tracker.h - HealthTracker: is this backend fit for work? Decides from what probes
// and calls report.
//
// Sans-io. A refused connection or a 503 from /health is believed at once; silence is not, because
// a busy vLLM answers /health late: it takes several in a row.
//
// Threading: confined to the control thread.
#pragma once

namespace batchproxy {

enum class Health { kUnknown, kReady, kUnready };

enum class ProbeResult {
  kOk,
  kRefused,   // nobody listens, or the connection was reset
  kNotReady,  // an answer other than 200
  kSilent,    // no answer in time
};

class HealthTracker {
 public:
  static constexpr int kSilencesBelieved = 3;

  Health health() const { return health_; }

  // Each returns true when health() has changed.
  bool on_probe(ProbeResult result);
  // A call could not reach the backend at all.
  bool on_unreachable();

 private:
  bool become(Health health);

  Health health_ = Health::kUnknown;
  int silences_ = 0;
};

}  // namespace batchproxy
