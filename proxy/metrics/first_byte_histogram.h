// proxy/metrics/first_byte_histogram.h - FirstByteHistogram: how long clients have waited for the
// first byte. The buckets are those of vLLM's time to the first token, so that panels line up.
//
// Threading: written by one thread, read by any.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

#include "batcher/base/count.h"
#include "batcher/base/time.h"

namespace batchproxy {

class FirstByteHistogram {
 public:
  static constexpr std::array kBounds = {0.001, 0.005, 0.01, 0.02, 0.04,  0.06,  0.08, 0.1,
                                         0.25,  0.5,   0.75, 1.0,  2.5,   5.0,   7.5,  10.0,
                                         20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};  // seconds
  static constexpr std::size_t kBuckets = kBounds.size() + 1;                        // and +Inf

  void observe(Duration took) {
    const double seconds = std::max(std::chrono::duration<double>(took).count(), 0.0);
    const auto bound = std::ranges::lower_bound(kBounds, seconds);
    buckets_[static_cast<std::size_t>(bound - kBounds.begin())].add();
    sum_us_.add(static_cast<std::uint64_t>(seconds * 1e6));
  }
  FirstByteHistogram& operator+=(const FirstByteHistogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_us_ += other.sum_us_;
    return *this;
  }

  std::uint64_t bucket(std::size_t i) const { return buckets_[i]; }        // not cumulative
  double sum() const { return static_cast<double>(sum_us_.get()) / 1e6; }  // seconds

 private:
  std::array<Count, kBuckets> buckets_;
  Count sum_us_;
};

}  // namespace batchproxy
