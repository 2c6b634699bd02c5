// proxy/metrics/trends.h - Trends: what has come in the last 10 and 60 seconds, from what the
// counters were once a second.
//
// Sans-io: it is given snapshots, and goes by their uptime.
//
// Memory: 61 samples, each of a few numbers and, for each backend, a histogram (200 bytes).
//
// Threading: confined to the control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {

class Trends {
 public:
  static constexpr double kShort = 10;  // seconds
  static constexpr double kLong = 60;   // seconds

  // Once a second.
  void add(const Snapshot& now);
  // Puts the rates until now into `now`. They are of less time while there is not as much.
  void fill(Snapshot& now) const;

 private:
  struct OfBackend {
    BackendId id = 0;
    std::uint64_t answered = 0;
    std::uint64_t tokens = 0;
    std::uint64_t prefix_queries = 0;
    std::uint64_t prefix_hits = 0;
    LatencyHistogram takes;
  };
  struct Sample {
    double at = 0;  // uptime
    std::uint64_t received = 0;
    std::uint64_t answered = 0;  // prompts
    std::uint64_t errors = 0;
    std::vector<OfBackend> backends;
  };
  struct Minute {
    LatencyHistogram takes;
    std::uint64_t queries = 0;  // tokens that were looked for in the cache
    std::uint64_t hits = 0;
  };
  static void tell_minute(BackendTrend& trend, const Minute& minute);
  static OfBackend take(const BackendSnapshot& backend);
  static Sample take(const Snapshot& now);
  const Sample& before(double seconds, double now) const;
  static const OfBackend* find(const Sample& sample, BackendId id);

  std::deque<Sample> samples_;  // the oldest first
};

}  // namespace batchproxy
