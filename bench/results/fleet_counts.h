// bench/results/fleet_counts.h - FleetCounts: what a proxy and its engines count, by which a run
// tells how full its batches were, why they left, and how much was found in prefix caches.
//
// Threading: pure functions, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy::bench {

struct FillBucket {
  double most = 0;   // prompts of a batch; infinity in the last one
  double count = 0;  // batches of so many, more than the bucket before has
};

struct FleetCounts {
  // Of the proxy.
  std::map<std::string, double> flushes{};  // batches that left, by reason
  std::vector<FillBucket> fill{};
  double batches = 0, batch_prompts = 0;
  double merged_calls = 0, merged_requests = 0;
  double affine = 0;  // requests sent to where the beginning of their prompt was
  // Of the engines, in tokens.
  double prefix_queries = 0, prefix_hits = 0;

  // Prompts of a mean batch.
  std::optional<double> mean_fill() const;
  // The share of prompt tokens that was found.
  std::optional<double> prefix_share() const;
};

// What /metrics of a proxy's admin address says.
FleetCounts proxy_counts(std::string_view metrics);
// Adds what /metrics of an engine says; false when it says nothing of prefix caches.
bool add_engine_counts(std::string_view metrics, FleetCounts& counts);

// What has been counted between the two; `add` joins what two runs have counted.
FleetCounts difference(const FleetCounts& after, const FleetCounts& before);
void add(const FleetCounts& more, FleetCounts& counts);

// The sum of all samples of metric `name` in Prometheus text.
double sum_of(std::string_view metrics, std::string_view name);
// Its samples by the value of `label`.
std::map<std::string, double> by_label(std::string_view metrics, std::string_view name,
                                       std::string_view label);

}  // namespace batchproxy::bench
