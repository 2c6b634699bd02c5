// batcher/base/latency_histogram.cc - see latency_histogram.h.
#include "batcher/base/latency_histogram.h"

#include <algorithm>
#include <numeric>

namespace batchproxy {

namespace {

// In the clock's own ticks: each request is observed several times, and most are in an early bucket.
constexpr auto kTickBounds = [] {
  std::array<Duration, LatencyHistogram::kBounds.size()> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = std::chrono::round<Duration>(
        std::chrono::duration<double>(LatencyHistogram::kBounds[i]));
  }
  return bounds;
}();

}  // namespace

void LatencyHistogram::observe(Duration took) {
  std::size_t bucket = 0;
  while (bucket < kTickBounds.size() && took > kTickBounds[bucket]) ++bucket;
  buckets_[bucket].add();
  const auto us = std::chrono::floor<std::chrono::microseconds>(std::max(took, Duration::zero()));
  sum_us_.add(static_cast<std::uint64_t>(us.count()));
}

LatencyHistogram& LatencyHistogram::operator+=(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  sum_us_ += other.sum_us_;
  return *this;
}

LatencyHistogram LatencyHistogram::since(const LatencyHistogram& earlier) const {
  if (total() < earlier.total()) return *this;
  LatencyHistogram part = *this;
  for (std::size_t i = 0; i < buckets_.size(); ++i) part.buckets_[i].sub(earlier.buckets_[i]);
  part.sum_us_.sub(earlier.sum_us_);
  return part;
}

std::uint64_t LatencyHistogram::total() const {
  return std::accumulate(buckets_.begin(), buckets_.end(), std::uint64_t{0});
}

double LatencyHistogram::quantile(double share) const {
  const double rank = share * static_cast<double>(total());
  double below = 0;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    const auto here = static_cast<double>(buckets_[i].get());
    if (here > 0 && below + here >= rank) {
      const double from = i == 0 ? 0 : kBounds[i - 1];
      return from + (kBounds[i] - from) * (rank - below) / here;
    }
    below += here;
  }
  return total() == 0 ? 0 : kBounds.back();
}

}  // namespace batchproxy
