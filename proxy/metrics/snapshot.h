// proxy/metrics/snapshot.h - the state of the whole proxy at one moment, for /status, /metrics and
// the console: collected in one place, shown in three.
//
// Threading: collected and used on the control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/life_cycle.h"
#include "batcher/decision/waits_for.h"
#include "proxy/metrics/condition.h"
#include "proxy/metrics/metrics.h"
#include "proxy/metrics/model_tally.h"

namespace batchproxy {

// What has come in a second, on average of some time.
struct Rates {
  double received = 0;  // requests
  double answered = 0;  // prompts, with success
  double tokens = 0;    // of answers, as the backends count them
  double errors = 0;    // of our own
};

// How a backend, or all of them together, have fared of late; see Trends.
struct BackendTrend {
  double answers_10s = 0, answers_60s = 0;  // a second
  double tokens_10s = 0, tokens_60s = 0;    // of answers, a second
  // Of the last minute:
  std::uint64_t answers = 0;            // good ones
  double p50 = 0, p95 = 0;              // seconds that they took
  std::optional<double> prefix_hits{};  // part of the prompts' tokens that was in its cache
};

// What went wrong last, over or not.
struct LastProblem {
  std::string text;
  double seconds_ago = 0;
};

// A batch of a client that is not over.
struct JobSnapshot {
  std::string id;
  std::string status;                             // its word in the Batches API
  std::uint64_t total = 0, done = 0, failed = 0;  // requests; done includes failed
  std::optional<double> eta{};                    // seconds until it is over, where known
};

// A job whose requests are recorded (x-batchproxy-job), as far as it has asked since the start.
struct RecordedJobSnapshot {
  std::string name;
  std::string key;              // whose it is; empty where nobody is asked for one
  std::uint64_t recorded = 0;   // good answers that came
  std::uint64_t replayed = 0;   // requests answered with one that was there, or that another got
  std::uint64_t under_way = 0;  // requests for which a backend is asked
  double seconds_ago = 0;       // its last request
};

// A GPU of this machine.
struct GpuSnapshot : GpuMetrics {
  std::string index;
  std::string name;  // of its kind
};

// A backend, and what is counted of it.
struct BackendSnapshot : BackendMetrics, BackendFigures {
  BackendId id = 0;
  std::string name;
  std::string url;
  BackendState state = BackendState::kConfigured;
  std::string problem{};  // why it is not ready, if we know
  bool simulated = false;
  bool launched = false;               // we have started it: it takes orders
  std::string gpus;                    // "0,1"; empty for an engine that we did not start
  std::string node;                    // on which others have placed it; empty for this machine
  std::vector<std::string> repairs{};  // what was changed of its command, in sentences
  std::string models{};                // names, for people
  std::string doing{};                 // while it loads, or ends
  std::string silence{};  // of who watches it: "its agent on n1 has not answered for 7 s"
  std::optional<LastProblem> last_problem{};
  bool tells_figures = false;  // those that it tells itself are known
  BackendTrend trend{};
  Condition condition = Condition::kFine;
  std::string remark{};  // on its condition, for people
};

// The sum of what the threads count, and what there is to say besides.
struct Snapshot : Metrics {
  std::string version = BATCHPROXY_VERSION;
  double uptime = 0;  // seconds
  bool draining = false;
  std::string flush;                      // eager, fixed or off
  std::vector<BackendSnapshot> backends;  // in use, with their part of by_backend
  std::vector<std::string> key_names;     // by KeySlot; empty when none are asked for
  std::string models;                     // names, for people
  Rates last_10s{}, last_60s{};
  std::vector<ModelCounts> by_model;           // what requests have named
  std::vector<GpuSnapshot> gpus;               // none where we start no engines on GPUs
  BackendTrend trend{};                        // of all backends together
  std::vector<JobSnapshot> jobs;               // those that are not over
  std::vector<RecordedJobSnapshot> recording;  // jobs with a request in the last ten minutes
  WaitsFor waits_for = WaitsFor::kNothing;  // what the oldest request waits for, as the lane says
  std::string waiting_for;                  // the same for people; empty when nothing waits

  bool any_ready() const;
  std::uint64_t finished_total() const;
};

std::string to_json(const Snapshot& snapshot);        // the body of /status
std::string to_prometheus(const Snapshot& snapshot);  // the body of /metrics

// What to_json() has written, of this version or another: what is not in it is as in a new
// Snapshot. Nothing when it is no status.
std::optional<Snapshot> read_status(std::string_view status);

// A metric as docs/METRICS.md lists it.
struct MetricRow {
  std::string_view name;
  MetricKind kind;
  std::vector<std::string_view> labels;
  std::string_view help;
};
std::vector<MetricRow> metric_rows();

}  // namespace batchproxy
