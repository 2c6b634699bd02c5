// launcher/supervision/liveness.cc - see liveness.h.
#include "launcher/supervision/liveness.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

// One that stands still has a server that answers: that is no sign that its node is gone.
Duration Liveness::patience(Duration timeout) const {
  return unready_ && unwatched_ ? std::min(timeout, kUnwatched) : timeout;
}

bool Liveness::is_dead(std::uint64_t answered, Duration timeout, TimePoint now) {
  const bool moved = std::exchange(answered_, answered) != answered;
  if (moved || (!stuck_ && !unready_)) {
    away_since_.reset();
    return false;
  }
  if (!away_since_) away_since_ = now;
  return timeout > Duration::zero() && now - *away_since_ >= patience(timeout);
}

}  // namespace batchproxy
