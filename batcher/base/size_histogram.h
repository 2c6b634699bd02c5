// batcher/base/size_histogram.h - SizeHistogram: how many things came together, in powers of two.
//
// Threading: written by one thread, read by any.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "batcher/base/count.h"

namespace batchproxy {

class SizeHistogram {
 public:
  static constexpr std::array kBounds = {1.0,  2.0,   4.0,   8.0,   16.0,  32.0,
                                         64.0, 128.0, 256.0, 512.0, 1024.0};
  static constexpr std::size_t kBuckets = kBounds.size() + 1;  // and +Inf

  void observe(std::uint32_t size) {
    const auto bucket = static_cast<std::size_t>(std::bit_width(size > 0 ? size - 1 : 0u));
    buckets_[std::min(bucket, kBuckets - 1)].add();
    sum_.add(size);
  }
  SizeHistogram& operator+=(const SizeHistogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_ += other.sum_;
    return *this;
  }

  std::uint64_t bucket(std::size_t i) const { return buckets_[i]; }  // not cumulative
  double sum() const { return static_cast<double>(sum_.get()); }

 private:
  std::array<Count, kBuckets> buckets_;
  Count sum_;
};

}  // namespace batchproxy
