// proxy/limits/byte_budget.h - ByteBudget: how many bytes of request bodies the whole proxy holds,
// and what follows from it; ByteShare: one thread's part of it.
//
// A thread takes from the budget in grains and deals with its own requests out of those, so that
// the number that all threads share changes once in many requests, not with each.
//
// - Below 80 % every body is read as it comes.
// - From 80 % on bodies under way are read no further (TCP holds their senders back), until less
//   than 40 % is held: half of that, or reading would stop and start all the time.
// - From 95 % on a new request with a body is refused before its body is read.
//
// The bytes held beyond the bodies counted here: less than two grains a thread, 1/32 of the limit.
//
// Threading: ByteBudget any thread; ByteShare its own thread, but for held().
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "batcher/base/count.h"

namespace batchproxy {

class ByteBudget {
 public:
  // For `shares` threads.
  ByteBudget(std::uint64_t limit, std::size_t shares)
      : limit_(limit), grain_(std::clamp<std::uint64_t>(limit / (64 * shares), 1, 1 << 20)) {}

  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t limit() const { return limit_; }
  std::uint64_t grain() const { return grain_; }

 private:
  friend class ByteShare;
  const std::uint64_t limit_;
  const std::uint64_t grain_;
  alignas(64) std::atomic<std::uint64_t> used_{0};
};

class ByteShare {
 public:
  explicit ByteShare(ByteBudget& budget) : budget_(budget) {}

  void take(std::uint64_t bytes) {
    held_.add(bytes);
    if (held_.get() <= taken_) return;
    const std::uint64_t grain = budget_.grain();
    const std::uint64_t more = (held_.get() - taken_ + grain - 1) / grain * grain;
    taken_ += more;
    budget_.used_.fetch_add(more, std::memory_order_relaxed);
  }

  void give(std::uint64_t bytes) {
    held_.sub(bytes);
    const std::uint64_t grain = budget_.grain();
    const std::uint64_t spare = (taken_ - held_.get()) / grain;
    if (spare < 2) return;
    taken_ -= (spare - 1) * grain;
    budget_.used_.fetch_sub((spare - 1) * grain, std::memory_order_relaxed);
  }

  // Whether bodies may be read on.
  bool may_read() {
    const std::uint64_t used = budget_.used();
    if (used >= part(80)) stopped_ = true;
    if (used < part(40)) stopped_ = false;
    return !stopped_;
  }

  // Whether another request with a body may come in.
  bool may_admit() const { return budget_.used() < part(95); }

  std::uint64_t held() const { return held_.get(); }

 private:
  std::uint64_t part(std::uint64_t percent) const {
    return std::max<std::uint64_t>(budget_.limit() / 100 * percent, 1);
  }

  ByteBudget& budget_;
  std::uint64_t taken_ = 0;
  bool stopped_ = false;
  Count held_;
};

}  // namespace batchproxy
