// proxy/metrics/snapshot.h - the state of the whole proxy at one moment, for /status, /metrics and
// the console: collected in one place, shown in three.
//
// Threading: collected and used on the control thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/life_cycle.h"
#include "proxy/metrics/metrics.h"

namespace batchproxy {

// A backend, and what is counted of it.
struct BackendSnapshot : BackendMetrics {
  BackendId id = 0;
  std::string name;
  std::string url;
  BackendState state = BackendState::kConfigured;
  std::string problem{};  // why it is not ready, if we know
  bool simulated = false;
  std::string gpus;                    // "0,1"; empty for an engine that we did not start
  std::vector<std::string> repairs{};  // what was changed of its command, in sentences
};

// The sum of what the threads count, and what there is to say besides.
struct Snapshot : Metrics {
  double uptime = 0;  // seconds
  bool draining = false;
  std::string flush;                      // eager, fixed or off
  std::vector<BackendSnapshot> backends;  // in use, with their part of by_backend
  std::vector<std::string> key_names;     // by KeySlot; empty when none are asked for
  std::string models;                     // names, for people

  bool any_ready() const;
  std::uint64_t finished_total() const;
};

std::string to_json(const Snapshot& snapshot);        // the body of /status
std::string to_prometheus(const Snapshot& snapshot);  // the body of /metrics

// A metric as docs/METRICS.md lists it.
struct MetricRow {
  std::string_view name;
  MetricKind kind;
  std::vector<std::string_view> labels;
  std::string_view help;
};
std::vector<MetricRow> metric_rows();

}  // namespace batchproxy
