// proxy/admin/metrics.h - what one I/O thread counts, and how the counts of all threads are
// exposed.
//
// The conservation law, exact whenever nothing moves:
//   received = sum of finished + queued + in flight
//
// Threading: each ThreadMetrics is written by its own thread only (plain loads and stores, relaxed)
// and read by anyone; a scrape sums them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "backends/call/call_failure.h"
#include "batcher/backend_set.h"
#include "batcher/error.h"
#include "batcher/finish.h"
#include "batcher/time.h"

namespace batchproxy {

inline constexpr auto& kAllFinishes = kAll<Finish>;

// A number with one writer: an increment is a load and a store, no locked instruction.
class Count {
 public:
  void add(std::uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  void sub(std::uint64_t n = 1) { value_.store(get() - n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Latencies in the buckets that vLLM uses for its own request latency, so that panels line up, and
// below them some for one-token answers.
class LatencyHistogram {
 public:
  static constexpr std::array kBounds = {0.01, 0.025, 0.05, 0.1,  0.2,   0.3,   0.5,  0.8,
                                         1.0,  1.5,   2.0,  2.5,  5.0,   10.0,  15.0, 20.0,
                                         30.0, 40.0,  50.0, 60.0, 120.0, 240.0, 480.0};  // s
  void observe(Duration took);
  const Count& bucket(std::size_t i) const { return buckets_[i]; }  // not cumulative; last is +Inf
  std::uint64_t sum_us() const { return sum_us_.get(); }

 private:
  std::array<Count, kBounds.size() + 1> buckets_;
  Count sum_us_;
};

// API keys are counted one by one up to so many.
inline constexpr std::size_t kMaxKeySlots = 256;
// Why a client could not be taken, as labels.
inline constexpr std::array kAcceptErrors = {std::string_view("EMFILE"), std::string_view("ENFILE"),
                                             std::string_view("other")};

struct alignas(64) ThreadMetrics {
  Count received;  // requests
  std::array<Count, kAllFinishes.size()> finished;
  Count queued;    // requests that wait for a verdict
  Count inflight;  // requests that a backend is working on

  std::array<Count, kAllErrors.size()> errors;   // answers of ours, by Errc
  std::array<Count, BackendSet::kMax> answered;  // requests answered by each backend
  // Calls that failed, by backend and CallFailure; an answer 5xx, or one that asks to wait, counts
  // as kNone.
  std::array<std::array<Count, kCallFailures>, BackendSet::kMax> failed_attempts;
  std::array<Count, kMaxKeySlots> by_key;  // requests by API key, see ApiKeys::Key::slot
  Count prompts_answered;
  Count retried;
  Count poisoned;          // requests that are never sent again
  Count split_calls;       // shared calls that were refused and went out in halves
  Count mismatched_calls;  // shared calls whose answer did not hold a choice for each
  Count broken_streams;
  Count connections;  // clients connected now
  Count accepted;     // clients ever
  Count idle;         // of those connected: between two requests
  Count evicted;      // idle ones closed to make room
  std::array<Count, kAcceptErrors.size()> accept_errors;
  LatencyHistogram latency;  // of requests that ended in kOk

  void count_error(Errc code) { errors[static_cast<std::size_t>(code)].add(); }
  void count_failed_attempt(BackendId backend, CallFailure how) {
    failed_attempts[backend][static_cast<std::size_t>(how)].add();
  }
  void count_finish(Finish finish) { finished[static_cast<std::size_t>(finish)].add(); }
};

}  // namespace batchproxy
