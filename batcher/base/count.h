// batcher/base/count.h - Count: a number with one writer.
//
// Threading: written by one thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace batchproxy {

// An increment is a load and a store, no locked instruction. A copy is the number at that moment.
class Count {
 public:
  Count() = default;
  Count(const Count& other) : value_(other.get()) {}
  Count& operator=(const Count& other) { return *this = other.get(); }
  Count& operator=(std::uint64_t n) {
    value_.store(n, std::memory_order_relaxed);
    return *this;
  }
  Count& operator+=(const Count& other) {
    add(other.get());
    return *this;
  }

  void add(std::uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  void sub(std::uint64_t n = 1) { value_.store(get() - n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }
  operator std::uint64_t() const { return get(); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace batchproxy
