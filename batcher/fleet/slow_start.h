// batcher/fleet/slow_start.h - SlowStart: after an outage a backend gets one batch, a second later
// two, then four, and so on, until that is no limit any more.
//
// All that waited for it would otherwise reach it in its first moment, when its caches are cold and
// nobody knows yet that it is well.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

class SlowStart {
 public:
  static constexpr std::uint32_t kUnlimited = ~std::uint32_t{0};
  static constexpr Duration kStep = std::chrono::seconds(1);  // in which its share doubles

  // The backend will start slowly when it is up next.
  void prepare() { is_due_ = true; }
  // The state of its breaker. One that has closed again is followed by a slow start.
  void on_breaker(bool closed);
  // Its breaker was not closed when it was last told.
  bool was_tripped() const { return tripped_; }

  // The backend is up at `now`. A share of `enough` prompts is no limit any more. Returns when the
  // share grows next, if it will.
  std::optional<TimePoint> advance(std::uint32_t batch_size, std::uint32_t enough, TimePoint now);

  // Prompts that may be in flight.
  std::uint32_t most() const { return most_; }

 private:
  bool tripped_ = false;
  bool is_due_ = false;
  std::optional<TimePoint> started_;
  std::uint32_t most_ = kUnlimited;
};

}  // namespace batchproxy
