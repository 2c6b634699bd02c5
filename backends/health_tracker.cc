// backends/health_tracker.cc - see health_tracker.h.
#include "backends/health_tracker.h"

namespace batchproxy {

bool HealthTracker::on_probe(ProbeResult result) {
  switch (result) {
    case ProbeResult::kOk:
      silences_ = 0;
      return become(Health::kReady);
    case ProbeResult::kRefused:
    case ProbeResult::kNotReady:
      silences_ = 0;
      return become(Health::kUnready);
    case ProbeResult::kSilent:
      return ++silences_ >= kSilencesBelieved && become(Health::kUnready);
  }
  return false;
}

bool HealthTracker::on_unreachable() {
  return become(Health::kUnready);
}

bool HealthTracker::become(Health health) {
  if (health_ == health) return false;
  health_ = health;
  return true;
}

}  // namespace batchproxy
