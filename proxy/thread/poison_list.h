// proxy/thread/poison_list.h - PoisonList: requests that have been the end of engines, so that
// their clients' next tries are not the end of more.
//
// Threading: any thread. Costs one load while it is empty, as it nearly always is.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "batcher/base/time.h"

namespace batchproxy {

class PoisonList {
 public:
  static constexpr Duration kRemembered = std::chrono::minutes(10);
  static constexpr std::size_t kMax = 4096;  // then the oldest is forgotten

  bool empty() const { return size_.load(std::memory_order_relaxed) == 0; }
  void add(std::uint64_t content_key, TimePoint now);
  bool contains(std::uint64_t content_key, TimePoint now);

 private:
  void forget(TimePoint now);

  std::mutex mutex_;
  std::map<std::uint64_t, TimePoint> until_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace batchproxy
