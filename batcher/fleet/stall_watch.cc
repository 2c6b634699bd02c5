// batcher/fleet/stall_watch.cc - see stall_watch.h.
#include "batcher/fleet/stall_watch.h"

#include <algorithm>

namespace batchproxy {

void StallWatch::on_granted(Backend& backend, std::uint32_t prompts, TimePoint now) {
  backend.progress.on_granted(backend.inflight == 0 || backend.stuck, now);
  flying_ += prompts;
  const bool looks = options_.stuck_timeout > Duration::zero();
  if (looks && (due_ == TimePoint::max() || !backend.breaker.is_closed())) {
    due_ = std::min(due_, now + kLook);
  }
}

bool StallWatch::on_sample(BackendId id, Backend& backend,
                           const std::optional<EngineSample>& sample, const AnswerTimes& all,
                           TimePoint now) {
  const bool moves = backend.progress.on_look(sample, now) && set_moving(id, backend, now);
  // What it shows now may tell sooner than what it showed when it was looked at last.
  if (backend.inflight > 0) due_ = std::min(due_, stuck_at(backend, all));
  return moves;
}

bool StallWatch::on_bytes(BackendId id, Backend& backend, TimePoint now) {
  backend.progress.on_bytes(now);
  return set_moving(id, backend, now);
}

bool StallWatch::on_up(BackendId id, Backend& backend, TimePoint now) {
  return set_moving(id, backend, now);
}

void StallWatch::on_departure(Backend& backend, TimePoint now) {
  backend.progress.on_departure();
  due_ = std::min(due_, now);
}

bool StallWatch::look(std::span<Backend> backends, const AnswerTimes& all, TimePoint now) {
  bool found = false;
  due_ = TimePoint::max();
  for (Backend& backend : backends) {
    if (backend.inflight == 0) continue;
    const TimePoint at = stuck_at(backend, all);
    if (now >= at) {
      stalls_.push_back({static_cast<BackendId>(&backend - backends.data()), true, backend.stuck,
                         backend.inflight, now - backend.progress.quiet_since()});
      backend.stuck = true;
      backend.breaker.on_stuck(now);
      found = true;
    } else if (at != TimePoint::max()) {
      due_ = std::min(due_, std::max(at, now + kLook));
    }
  }
  return found;
}

// When it will count as stuck, or as stuck again, unless it moves.
TimePoint StallWatch::stuck_at(const Backend& backend, const AnswerTimes& all) const {
  const bool tried = backend.stuck && backend.breaker.is_probing();
  if (backend.stuck && !tried) return TimePoint::max();
  return backend.progress.stuck_at(
      {.stuck_timeout = options_.stuck_timeout, .usual = backend.usual(all), .tried = tried});
}

// False when it was not stuck.
bool StallWatch::set_moving(BackendId id, Backend& backend, TimePoint now) {
  if (!backend.stuck) return false;
  backend.stuck = false;
  stalls_.push_back({id, false, false, backend.inflight, Duration::zero()});
  backend.breaker.on_ready(now);
  return true;
}

}  // namespace batchproxy
