// backends/health/health_tracker.h - HealthTracker: is this backend fit for work? Decides from what
// probes and calls report.
//
// Sans-io. A refused connection or a 503 from /health is believed at once; silence is not, because
// a busy vLLM answers /health late: it is believed when nothing good has come for a while.
//
// Threading: confined to the control thread.
#pragma once

#include <optional>

#include "batcher/base/time.h"

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
  // One question about a backend's life may take so long, unless probe_time() gives more.
  static constexpr Duration kProbeTime = std::chrono::seconds(2);
  // Between probes while it is not ready.
  static constexpr Duration kEagerPause = std::chrono::milliseconds(500);

  Health health() const { return health_; }

  // Each returns true when health() has changed. Silence is believed when the last good probe is
  // `patience` ago.
  bool on_probe(ProbeResult result, TimePoint now, Duration patience);
  // A call could not reach the backend at all.
  bool on_unreachable();

  // How long the next probe may take: `usual`, and after a silence until that would be believed.
  Duration probe_time(TimePoint now, Duration usual, Duration patience) const;

 private:
  bool become(Health health);

  Health health_ = Health::kUnknown;
  bool silent_ = false;                   // when last asked
  std::optional<TimePoint> last_life_{};  // or when it was first asked
};

}  // namespace batchproxy
