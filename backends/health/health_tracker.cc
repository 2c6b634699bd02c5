// backends/health/health_tracker.cc - see health_tracker.h.
#include "backends/health/health_tracker.h"

#include <algorithm>

namespace batchproxy {

bool HealthTracker::on_probe(ProbeResult result, TimePoint now, Duration patience) {
  silent_ = result == ProbeResult::kSilent;
  if (!last_life_) last_life_ = now;
  switch (result) {
    case ProbeResult::kOk:
      last_life_ = now;
      return become(Health::kReady);
    case ProbeResult::kRefused:
    case ProbeResult::kNotReady:
      return become(Health::kUnready);
    case ProbeResult::kSilent:
      return now - *last_life_ >= patience && become(Health::kUnready);
  }
  return false;
}

bool HealthTracker::on_unreachable() {
  return become(Health::kUnready);
}

Duration HealthTracker::probe_time(TimePoint now, Duration usual, Duration patience) const {
  if (health_ != Health::kReady) return std::max(usual, patience);
  if (!silent_) return usual;
  return std::max(usual, patience - (now - *last_life_));
}

bool HealthTracker::become(Health health) {
  if (health_ == health) return false;
  health_ = health;
  return true;
}

}  // namespace batchproxy
