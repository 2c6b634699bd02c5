// batcher/engine/progress.cc - see progress.h.
#include "batcher/engine/progress.h"

#include <algorithm>

namespace batchproxy {

namespace {
constexpr Duration kLeast = std::chrono::seconds(1);
}

void Progress::on_granted(bool anew, TimePoint now) {
  if (anew) busy_since_ = now;
}

void Progress::on_bytes(TimePoint now) {
  last_bytes_ = now;
  departures_ = 0;
}

bool Progress::on_look(const std::optional<EngineSample>& sample, TimePoint now) {
  silent_ = !sample;
  if (!sample) return false;
  last_sample_ = now;
  works_ = sample->running + sample->waiting > 0;
  const bool moved = steps_ && sample->steps && *sample->steps != *steps_;
  if (moved || !works_ || !steps_) last_step_ = now;
  steps_ = sample->steps;
  return moved;
}

TimePoint Progress::stuck_at(const Limits& limits) const {
  if (limits.stuck_timeout == Duration::zero()) return TimePoint::max();
  const TimePoint quiet = quiet_since();
  const Duration usual = limits.usual;
  const bool counts = steps_ && !silent_ && works_;
  if (counts) {
    return std::max(quiet, last_step_) +
           (limits.tried ? std::max(kLeast, 2 * usual) : limits.stuck_timeout);
  }
  // Without a count only its answers tell how long it may take.
  if (usual > Duration::zero()) {
    if (limits.tried) return quiet + std::max(kLeast, 2 * usual);
    if (departures_ >= kDepartures) return quiet + std::max(kLeast, 3 * usual);
  }
  TimePoint at = quiet + std::max(3 * limits.stuck_timeout, 8 * usual);
  if (silent_ && last_sample_ != TimePoint()) {
    at = std::min(at, std::max(quiet, last_sample_) + limits.stuck_timeout);
  }
  return at;
}

}  // namespace batchproxy
