// proxy/metrics/latency_histogram.cc - see latency_histogram.h.
#include "proxy/metrics/latency_histogram.h"

#include <algorithm>

namespace batchproxy {

void LatencyHistogram::observe(Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  buckets_[static_cast<std::size_t>(bound - kBounds.begin())].add();
  sum_us_.add(static_cast<std::uint64_t>(seconds * 1e6));
}

LatencyHistogram& LatencyHistogram::operator+=(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  sum_us_ += other.sum_us_;
  return *this;
}

}  // namespace batchproxy
