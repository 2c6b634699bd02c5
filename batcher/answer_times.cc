// batcher/answer_times.cc - see answer_times.h.
#include "batcher/answer_times.h"

#include <algorithm>
#include <cmath>

namespace batchproxy {

namespace {

constexpr double kFirst = 0.001;  // s: the upper end of the first bucket
constexpr double kRatio = 1.25;
constexpr float kUsual = 0.95f;
constexpr float kKnown = 8;    // samples, below which nothing is said
constexpr float kMany = 512;   // samples, at which all are halved
constexpr unsigned kLook = 8;  // samples between two looks: each costs a walk over the buckets

double seconds(Duration time) {
  return std::chrono::duration<double>(time).count();
}

std::size_t bucket_of(Duration took, std::size_t buckets) {
  const double steps = std::log(std::max(seconds(took), kFirst) / kFirst) / std::log(kRatio);
  return std::min(static_cast<std::size_t>(std::ceil(steps - 1e-9)), buckets - 1);
}

Duration upper_end(std::size_t bucket) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(kFirst * std::pow(kRatio, static_cast<double>(bucket))));
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
  if (total_ >= kMany) {
    for (float& count : counts_) count /= 2;
    total_ /= 2;
  }
  if (total_ < kKnown || ++since_look_ < kLook) return;
  since_look_ = 0;
  float seen = 0;
  std::size_t last = 0;
  while (last + 1 < kBuckets && (seen += counts_[last]) < kUsual * total_) ++last;
  usual_ = upper_end(last);
}

}  // namespace batchproxy
