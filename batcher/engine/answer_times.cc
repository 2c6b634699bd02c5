// batcher/engine/answer_times.cc - see answer_times.h.
#include "batcher/engine/answer_times.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace batchproxy {

namespace {

// The first bucket ends after a millisecond. From there on each doubling has four of equal width.
constexpr Duration kUnit = std::chrono::microseconds(250);
constexpr float kRare = 0.05f;
constexpr int kFarLonger = 4;
constexpr float kKnown = 8;    // samples, below which nothing is said
constexpr float kMany = 512;   // samples, at which all are halved
constexpr unsigned kLook = 8;  // samples between two looks: each costs a walk over buckets

std::size_t bucket_of(Duration took, std::size_t buckets) {
  const auto units =
      static_cast<std::uint64_t>(std::max(took - Duration(1), Duration::zero()) / kUnit);
  if (units < 4) return 0;
  const auto doubling = static_cast<std::size_t>(std::bit_width(units)) - 3;
  return std::min(4 * doubling + 1 + ((units >> doubling) & 3), buckets - 1);
}

Duration upper_end(std::size_t bucket) {
  if (bucket == 0) return 4 * kUnit;
  const std::size_t doubling = (bucket - 1) / 4;
  return kUnit * (std::int64_t{5} + static_cast<std::int64_t>((bucket - 1) % 4)) *
         (1LL << doubling);
}

}  // namespace

void AnswerTimes::add(Duration took) {
  count(bucket_of(took, kBuckets));
}

// One that had less time than most would have failed anyway, and says nothing.
void AnswerTimes::add_longer_than(Duration took) {
  const std::size_t next = std::min(bucket_of(took, kBuckets) + 1, kBuckets - 1);
  if (upper_end(next) > usual_) count(next);
}

void AnswerTimes::count(std::size_t bucket) {
  counts_[bucket] += 1;
  total_ += 1;
  longest_ = std::max(longest_, bucket);
  if (total_ >= kMany) {
    for (float& count : counts_) count /= 2;
    total_ /= 2;
  }
  if (total_ < kKnown || ++since_look_ < kLook) return;
  since_look_ = 0;
  float longer = 0;
  std::size_t last = longest_;
  while (last > 0 && (longer += counts_[last]) <= kRare * total_) --last;
  usual_ = upper_end(last);
  while (last > 0 && longer <= total_ / 2) longer += counts_[--last];
  least_ = std::min(usual_, kFarLonger * upper_end(last));
}

}  // namespace batchproxy
