// batcher/turns/patience.cc - see patience.h.
#include "batcher/turns/patience.h"

#include <algorithm>

namespace batchproxy {

void Patience::on_left(Duration wait, TimePoint now) {
  const std::size_t at = count_++ % kDepartures;
  waits_[at] = wait;
  moments_[at] = last_ = now;
  learnt_.reset();
  if (count_ < kDepartures) return;
  std::array<Duration, kDepartures> sorted = waits_;
  std::ranges::sort(sorted);
  const Duration median = sorted[kDepartures / 2];
  // All but the extremes within a tenth: nobody leaves so regularly by chance.
  const Duration spread = sorted[kDepartures - 2] - sorted[1];
  const TimePoint first = *std::ranges::min_element(moments_);
  if (spread <= median / 10 && spread <= std::max(now - first, median / 100)) learnt_ = sorted[1];
}

void Patience::on_answered(Duration wait) {
  if (!learnt_ || wait <= *learnt_ + *learnt_ / 20) return;
  learnt_.reset();
  count_ = 0;
}

std::optional<Duration> Patience::learnt(TimePoint now) const {
  return remembers(now) ? learnt_ : std::nullopt;
}

}  // namespace batchproxy
