// batcher/base/ages.cc - see ages.h.
#include "batcher/base/ages.h"

#include <algorithm>

namespace batchproxy {

void Ages::add(TimePoint since) {
  const Slot slot = since.time_since_epoch() / kSlot;
  if (counts_.empty()) counts_.resize(kSlots);
  first_ = count_ == 0 ? slot : std::min(first_, slot);
  last_ = count_ == 0 ? slot : std::max(last_, slot);
  ++at(slot);
  ++count_;
}

void Ages::remove(TimePoint since) {
  if (counts_.empty()) return;
  std::uint32_t& here = at(since.time_since_epoch() / kSlot);
  if (here == 0) return;
  --here;
  --count_;
}

std::optional<TimePoint> Ages::oldest() {
  if (count_ == 0) return std::nullopt;
  while (first_ < last_ && at(first_) == 0) ++first_;
  return TimePoint(first_ * kSlot);
}

}  // namespace batchproxy
