// batcher/fleet/slow_start.cc - see slow_start.h.
#include "batcher/fleet/slow_start.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

void SlowStart::on_breaker(bool closed) {
  if (std::exchange(tripped_, !closed) && closed) is_due_ = true;
}

std::optional<TimePoint> SlowStart::advance(std::uint32_t batch_size, std::uint32_t enough,
                                            TimePoint now) {
  if (std::exchange(is_due_, false)) started_ = now;
  if (!started_) return std::nullopt;
  const auto steps = (now - *started_) / kStep;
  const auto share = std::uint64_t{batch_size} << std::min<std::int64_t>(steps, 32);
  if (share >= enough) {
    started_.reset();
    most_ = kUnlimited;
    return std::nullopt;
  }
  most_ = static_cast<std::uint32_t>(share);
  return *started_ + (steps + 1) * kStep;
}

}  // namespace batchproxy
