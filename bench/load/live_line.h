// bench/load/live_line.h - LiveLine: how a load run goes, as one line.
//
// Threading: confined to one thread. It writes nothing.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "bench/results/request_result.h"

namespace batchproxy::bench {

class LiveLine {
 public:
  // `expected`: how many requests there will be; 0: until time is up.
  explicit LiveLine(std::size_t expected) : expected_(expected) {}

  void add(const RequestResult& result);

  // "12 s · 1,204 of 5,000 · 96.8/s · p50 320 ms, p99 810 ms · 64 in flight · 3 failed"; rate and
  // latencies are those of the last few seconds.
  std::string line(double now, std::size_t in_flight);

 private:
  struct Recent {
    double end;
    double latency;
  };
  const std::size_t expected_;
  std::size_t answered_ = 0;
  std::size_t failed_ = 0;
  std::deque<Recent> recent_;
};

}  // namespace batchproxy::bench
