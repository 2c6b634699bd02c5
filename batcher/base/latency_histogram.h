// batcher/base/latency_histogram.h - LatencyHistogram: how many requests took how long; and
// FirstByteHistogram: how long they waited for the first byte of their answer.
//
// The buckets are those that vLLM uses for its own request latency and time to the first token, so
// that panels line up; and, below the former, some for one-token answers.
//
// Threading: written by one thread, read by any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "batcher/base/count.h"
#include "batcher/base/time.h"

namespace batchproxy {

// In seconds.
struct LatencyBounds {
  static constexpr std::array kSeconds = {0.01, 0.025, 0.05, 0.1,  0.2,   0.3,   0.5,  0.8,
                                          1.0,  1.5,   2.0,  2.5,  5.0,   10.0,  15.0, 20.0,
                                          30.0, 40.0,  50.0, 60.0, 120.0, 240.0, 480.0};
};
struct FirstByteBounds {
  static constexpr std::array kSeconds = {0.001, 0.005, 0.01, 0.02, 0.04,  0.06,  0.08, 0.1,
                                          0.25,  0.5,   0.75, 1.0,  2.5,   5.0,   7.5,  10.0,
                                          20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
};

template <class Bounds>
class DurationHistogram {
 public:
  static constexpr auto kBounds = Bounds::kSeconds;
  static constexpr std::size_t kBuckets = kBounds.size() + 1;  // and +Inf

  void observe(Duration took);
  DurationHistogram& operator+=(const DurationHistogram& other);
  // What has come since it was `earlier`; all of it if it has begun anew meanwhile.
  DurationHistogram since(const DurationHistogram& earlier) const;

  std::uint64_t total() const;
  // So many seconds are not exceeded by `share` (0 to 1) of them, taken as spread evenly in their
  // bucket. 0 when there are none; the last bound when it is higher than that.
  double quantile(double share) const;
  std::uint64_t bucket(std::size_t i) const { return buckets_[i]; }        // not cumulative
  double sum() const { return static_cast<double>(sum_us_.get()) / 1e6; }  // seconds

 private:
  std::array<Count, kBuckets> buckets_;
  Count sum_us_;
};

extern template class DurationHistogram<LatencyBounds>;
extern template class DurationHistogram<FirstByteBounds>;

using LatencyHistogram = DurationHistogram<LatencyBounds>;
using FirstByteHistogram = DurationHistogram<FirstByteBounds>;

}  // namespace batchproxy
