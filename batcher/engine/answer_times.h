// batcher/engine/answer_times.h - AnswerTimes: how long one backend takes for an answer, from the
// grant on.
//
// A histogram whose old samples fade, with buckets at most a quarter apart, so that a request with
// less time left than nearly every answer takes can be told before it is sent. A call that its own
// deadline has ended says only that its answer would have taken longer; that counts, or an engine
// that has become slower than all deadlines would never be seen to be so.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstddef>

#include "batcher/base/time.h"

namespace batchproxy {

class AnswerTimes {
 public:
  // An answer took so long.
  void add(Duration took);
  // After so long there was no answer yet, and nobody waited any more.
  void add_longer_than(Duration took);

  // 95 of 100 answers take no longer, to a bucket's width; zero while too few are known.
  Duration usual() const { return usual_; }
  // With less, an answer is not to be had: as usual(), but where some take far longer than most,
  // only a few times what half of them take.
  Duration least() const { return least_; }

 private:
  static constexpr std::size_t kBuckets = 105;  // up to 18 hours
  void count(std::size_t bucket);

  std::array<float, kBuckets> counts_{};
  float total_ = 0;
  std::size_t longest_ = 0;  // bucket that was ever counted in
  unsigned since_look_ = 0;  // samples since usual_ was worked out
  Duration usual_{};
  Duration least_{};
};

}  // namespace batchproxy
