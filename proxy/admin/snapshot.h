// proxy/admin/snapshot.h - the state of the whole proxy at one moment, for /status, /metrics and
// the console: collected in one place, shown in three.
//
// Threading: collected and used on the control thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "backends/life_cycle.h"
#include "batcher/flush_reason.h"
#include "proxy/admin/metrics.h"

namespace batchproxy {

struct BackendSnapshot {
  BackendId id = 0;
  std::string name;
  std::string url;
  BackendState state = BackendState::kConfigured;
  std::string problem{};  // why it is not ready, if we know
  bool simulated = false;
  std::string gpus;            // "0,1"; empty for an engine that we did not start
  std::uint64_t inflight = 0;  // prompts
  std::uint64_t room = 0;      // prompts that it should have in flight, as learnt
  std::uint64_t answered = 0;  // requests
  bool breaker_open = false;   // its calls fail: it is given next to none
  bool stuck = false;          // it stands still
  std::array<std::uint64_t, kCallFailures> failed_attempts{};
};

struct KeySnapshot {
  std::string name;
  std::uint64_t requests = 0;
};

struct Snapshot {
  double uptime = 0;  // seconds
  bool draining = false;
  std::string flush;                                     // eager, fixed or off
  std::uint64_t received = 0, queued = 0, inflight = 0;  // requests
  std::array<std::uint64_t, kAllFinishes.size()> finished{};
  std::array<std::uint64_t, kAllErrors.size()> errors{};
  std::array<std::uint64_t, kAllFlushReasons.size()> batches{};
  std::uint64_t queued_prompts = 0;
  std::uint64_t prompts_answered = 0;
  std::uint64_t retried = 0;
  std::uint64_t poisoned = 0, split_calls = 0, mismatched_calls = 0, broken_streams = 0;
  std::uint64_t stale_connections = 0;  // to backends, found dead when they were used
  std::uint64_t config_generation = 1;
  bool last_reload_failed = false;
  std::uint64_t affine = 0;  // requests sent where the beginning of their prompt was
  std::uint64_t merged_calls = 0, merged_requests = 0;
  std::uint64_t connections = 0, accepted = 0;
  std::uint64_t idle = 0;      // of the connections: between two requests
  std::uint64_t evicted = 0;   // closed to make room for others
  std::uint64_t buffered = 0;  // bytes of request bodies
  std::array<std::uint64_t, kAcceptErrors.size()> accept_errors{};
  std::array<std::uint64_t, LatencyHistogram::kBounds.size() + 1> latency{};  // not cumulative
  double latency_sum = 0;                                                     // seconds
  std::vector<BackendSnapshot> backends;
  std::vector<KeySnapshot> keys;  // empty when none are asked for
  std::string models;             // names, for people

  bool any_ready() const;
  std::uint64_t finished_total() const;
};

std::string to_json(const Snapshot& snapshot);        // the body of /status
std::string to_prometheus(const Snapshot& snapshot);  // the body of /metrics

}  // namespace batchproxy
