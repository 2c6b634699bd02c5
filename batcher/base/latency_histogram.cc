// batcher/base/latency_histogram.cc - see latency_histogram.h.
#include "batcher/base/latency_histogram.h"

#include <algorithm>
#include <numeric>

namespace batchproxy {

namespace {

// In the clock's own ticks: each request is observed several times, and most are in an early bucket.
template <class Bounds>
constexpr auto kTickBounds = [] {
  std::array<Duration, Bounds::kSeconds.size()> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] =
        std::chrono::round<Duration>(std::chrono::duration<double>(Bounds::kSeconds[i]));
  }
  return bounds;
}();

}  // namespace

template <class Bounds>
void DurationHistogram<Bounds>::observe(Duration took) {
  std::size_t bucket = 0;
  while (bucket < kBounds.size() && took > kTickBounds<Bounds>[bucket]) ++bucket;
  buckets_[bucket].add();
  const auto us = std::chrono::floor<std::chrono::microseconds>(std::max(took, Duration::zero()));
  sum_us_.add(static_cast<std::uint64_t>(us.count()));
}

template <class Bounds>
DurationHistogram<Bounds>& DurationHistogram<Bounds>::operator+=(const DurationHistogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  sum_us_ += other.sum_us_;
  return *this;
}

template <class Bounds>
DurationHistogram<Bounds> DurationHistogram<Bounds>::since(const DurationHistogram& earlier) const {
  if (total() < earlier.total()) return *this;
  DurationHistogram part = *this;
  for (std::size_t i = 0; i < buckets_.size(); ++i) part.buckets_[i].sub(earlier.buckets_[i]);
  part.sum_us_.sub(earlier.sum_us_);
  return part;
}

template <class Bounds>
std::uint64_t DurationHistogram<Bounds>::total() const {
  return std::accumulate(buckets_.begin(), buckets_.end(), std::uint64_t{0});
}

template <class Bounds>
double DurationHistogram<Bounds>::quantile(double share) const {
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

template class DurationHistogram<LatencyBounds>;
template class DurationHistogram<FirstByteBounds>;

}  // namespace batchproxy
