// bench/results/fleet_counts.cc - see fleet_counts.h.
#include "bench/results/fleet_counts.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

namespace batchproxy::bench {

namespace {

struct SampleLine {
  std::string_view labels;  // `a="x",b="y"`
  double value = 0;
};

// Each sample of exactly this metric.
template <class Take>
void for_each_sample(std::string_view metrics, std::string_view name, Take take) {
  while (!metrics.empty()) {
    const std::string_view line = metrics.substr(0, metrics.find('\n'));
    metrics.remove_prefix(std::min(metrics.size(), line.size() + 1));
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    const char behind = line[name.size()];
    if (behind != '{' && behind != ' ') continue;  // a longer name
    SampleLine sample;
    const std::size_t blank = line.rfind(' ');
    if (behind == '{') {
      const std::size_t close = line.rfind('}', blank);
      if (close == std::string_view::npos || close < name.size()) continue;
      sample.labels = line.substr(name.size() + 1, close - name.size() - 1);
    }
    const std::string_view value = line.substr(blank + 1);
    std::from_chars(value.data(), value.data() + value.size(), sample.value);
    take(sample);
  }
}

std::string_view label_value(std::string_view labels, std::string_view label) {
  const std::string begin = fmt::format("{}=\"", label);
  const std::size_t at = labels.find(begin);
  if (at == std::string_view::npos) return {};
  labels.remove_prefix(at + begin.size());
  return labels.substr(0, labels.find('"'));
}

double bound_of(std::string_view text) {
  double bound = std::numeric_limits<double>::infinity();
  if (text != "+Inf") std::from_chars(text.data(), text.data() + text.size(), bound);
  return bound;
}

// A histogram's buckets count all that is less, too; ours do not.
std::vector<FillBucket> buckets_of(std::string_view metrics, std::string_view name) {
  std::vector<FillBucket> buckets;
  for_each_sample(metrics, fmt::format("{}_bucket", name), [&](const SampleLine& sample) {
    buckets.push_back({bound_of(label_value(sample.labels, "le")), sample.value});
  });
  std::ranges::sort(buckets, {}, &FillBucket::most);
  for (std::size_t i = buckets.size(); i-- > 1;) buckets[i].count -= buckets[i - 1].count;
  return buckets;
}

void add(const FleetCounts& more, double sign, FleetCounts& counts) {
  for (const auto& [reason, count] : more.flushes) counts.flushes[reason] += sign * count;
  if (counts.fill.empty()) {
    counts.fill = more.fill;
    for (FillBucket& bucket : counts.fill) bucket.count = 0;
  }
  for (std::size_t i = 0; i < counts.fill.size() && i < more.fill.size(); ++i) {
    counts.fill[i].count += sign * more.fill[i].count;
  }
  for (double FleetCounts::* const count :
       {&FleetCounts::batches, &FleetCounts::batch_prompts, &FleetCounts::merged_calls,
        &FleetCounts::merged_requests, &FleetCounts::affine, &FleetCounts::prefix_queries,
        &FleetCounts::prefix_hits}) {
    counts.*count += sign * more.*count;
  }
}

}  // namespace

std::optional<double> FleetCounts::mean_fill() const {
  if (batches <= 0) return std::nullopt;
  return batch_prompts / batches;
}

std::optional<double> FleetCounts::prefix_share() const {
  // An engine that has begun anew counts from nothing.
  const bool is_known = prefix_queries > 0 && prefix_hits >= 0 && prefix_hits <= prefix_queries;
  if (!is_known) return std::nullopt;
  return prefix_hits / prefix_queries;
}

double sum_of(std::string_view metrics, std::string_view name) {
  double sum = 0;
  for_each_sample(metrics, name, [&](const SampleLine& sample) { sum += sample.value; });
  return sum;
}

std::map<std::string, double> by_label(std::string_view metrics, std::string_view name,
                                       std::string_view label) {
  std::map<std::string, double> sums;
  for_each_sample(metrics, name, [&](const SampleLine& sample) {
    sums[std::string(label_value(sample.labels, label))] += sample.value;
  });
  return sums;
}

FleetCounts proxy_counts(std::string_view metrics) {
  FleetCounts counts;
  counts.flushes = by_label(metrics, "batchproxy_batches_total", "reason");
  counts.fill = buckets_of(metrics, "batchproxy_batch_prompts");
  counts.batches = sum_of(metrics, "batchproxy_batch_prompts_count");
  counts.batch_prompts = sum_of(metrics, "batchproxy_batch_prompts_sum");
  counts.merged_calls = sum_of(metrics, "batchproxy_merged_calls_total");
  counts.merged_requests = sum_of(metrics, "batchproxy_merged_requests_total");
  counts.affine = sum_of(metrics, "batchproxy_requests_affine_total");
  return counts;
}

bool add_engine_counts(std::string_view metrics, FleetCounts& counts) {
  if (metrics.find("vllm:prefix_cache_queries_total") == std::string_view::npos) return false;
  counts.prefix_queries += sum_of(metrics, "vllm:prefix_cache_queries_total");
  counts.prefix_hits += sum_of(metrics, "vllm:prefix_cache_hits_total");
  return true;
}

FleetCounts difference(const FleetCounts& after, const FleetCounts& before) {
  FleetCounts counts = after;
  add(before, -1, counts);
  return counts;
}

void add(const FleetCounts& more, FleetCounts& counts) {
  add(more, 1, counts);
}

}  // namespace batchproxy::bench
