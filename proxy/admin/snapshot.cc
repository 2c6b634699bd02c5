// proxy/admin/snapshot.cc - see snapshot.h.
#include "proxy/admin/snapshot.h"

#include <algorithm>
#include <numeric>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace batchproxy {

namespace {

namespace json = boost::json;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  MetricFamily& add(std::string name, std::string help, MetricType type) {
    list_.push_back({std::move(name), std::move(help), type, {}});
    return list_.back();
  }
  void one(std::string name, std::string help, MetricType type, std::uint64_t value) {
    sample(add(std::move(name), std::move(help), type), {}, static_cast<double>(value));
  }
  static void sample(MetricFamily& family, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    if (family.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    family.metric.push_back(std::move(metric));
  }
  const std::vector<MetricFamily>& list() const { return list_; }

 private:
  std::vector<MetricFamily> list_;
};

void add_requests(Families& families, const Snapshot& now) {
  families.one("batchproxy_requests_received_total", "Requests received whole.",
               MetricType::Counter, now.received);
  auto& finished = families.add("batchproxy_requests_finished_total",
                                "Requests that have ended, by how.", MetricType::Counter);
  for (std::size_t i = 0; i < kAllFinishes.size(); ++i) {
    Families::sample(finished, {{"result", std::string(to_string(kAllFinishes[i]))}},
                     static_cast<double>(now.finished[i]));
  }
  families.one("batchproxy_requests_queued", "Requests that wait for a backend.", MetricType::Gauge,
               now.queued);
  families.one("batchproxy_requests_inflight", "Requests that a backend is working on.",
               MetricType::Gauge, now.inflight);
  families.one("batchproxy_prompts_queued", "Prompts that wait for a backend.", MetricType::Gauge,
               now.queued_prompts);
  families.one("batchproxy_prompts_answered_total", "Prompts answered with success.",
               MetricType::Counter, now.prompts_answered);
  families.one("batchproxy_requests_retried_total", "Attempts repeated after one had failed.",
               MetricType::Counter, now.retried);
  families.one("batchproxy_poison_prompts_total",
               "Requests that engines died with until they were not sent again.",
               MetricType::Counter, now.poisoned);
  families.one("batchproxy_batch_splits_total",
               "Shared calls that an engine refused and that went out again in halves.",
               MetricType::Counter, now.split_calls);
  families.one("batchproxy_batch_mismatch_total",
               "Shared calls whose answer did not hold one choice for each member.",
               MetricType::Counter, now.mismatched_calls);
  families.one("batchproxy_streams_aborted_total", "Streams that a backend did not finish.",
               MetricType::Counter, now.broken_streams);
  families.one("batchproxy_stale_connections_total",
               "Kept connections to backends that were dead when they were used, and replaced.",
               MetricType::Counter, now.stale_connections);
  families.one("batchproxy_requests_affine_total",
               "Requests sent to a backend that held the beginning of their prompt.",
               MetricType::Counter, now.affine);
  families.one("batchproxy_merged_calls_total", "Calls that carried several requests.",
               MetricType::Counter, now.merged_calls);
  families.one("batchproxy_merged_requests_total", "Requests that shared a call.",
               MetricType::Counter, now.merged_requests);
  auto& errors = families.add("batchproxy_errors_total", "Error answers of our own, by code.",
                              MetricType::Counter);
  for (std::size_t i = 0; i < kAllErrors.size(); ++i) {
    Families::sample(errors, {{"code", std::string(describe(kAllErrors[i]).code)}},
                     static_cast<double>(now.errors[i]));
  }
}

void add_latency(Families& families, const Snapshot& now) {
  auto& family =
      families.add("batchproxy_request_duration_seconds",
                   "From the arrival of a request to the end of its answer, for those that "
                   "succeeded.",
                   MetricType::Histogram);
  ClientMetric metric;
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < now.latency.size(); ++i) {
    cumulative += now.latency[i];
    const double bound = i < LatencyHistogram::kBounds.size()
                             ? LatencyHistogram::kBounds[i]
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = now.latency_sum;
  family.metric.push_back(std::move(metric));
}

void add_backends(Families& families, const Snapshot& now) {
  auto& batches = families.add("batchproxy_batches_total", "Batches that left, by reason.",
                               MetricType::Counter);
  for (std::size_t i = 0; i < kAllFlushReasons.size(); ++i) {
    Families::sample(batches, {{"reason", std::string(to_string(kAllFlushReasons[i]))}},
                     static_cast<double>(now.batches[i]));
  }
  const auto each = [&](std::string name, std::string help, MetricType type, auto value) {
    auto& family = families.add(std::move(name), std::move(help), type);
    for (const BackendSnapshot& backend : now.backends) {
      Families::sample(family, {{"backend", backend.name}}, static_cast<double>(value(backend)));
    }
  };
  each("batchproxy_backend_up", "1 while the backend is ready.", MetricType::Gauge,
       [](const BackendSnapshot& b) { return b.state == BackendState::kReady ? 1 : 0; });
  each("batchproxy_backend_inflight", "Prompts in flight to the backend.", MetricType::Gauge,
       [](const BackendSnapshot& b) { return b.inflight; });
  each("batchproxy_backend_room", "Prompts that the backend should have in flight.",
       MetricType::Gauge, [](const BackendSnapshot& b) { return b.room; });
  each("batchproxy_backend_answered_total", "Requests that the backend has answered.",
       MetricType::Counter, [](const BackendSnapshot& b) { return b.answered; });
  each("batchproxy_backend_stuck", "1 while it stands still with requests in hand.",
       MetricType::Gauge, [](const BackendSnapshot& b) { return b.stuck ? 1 : 0; });
  each("batchproxy_backend_breaker_open", "1 while its calls fail and it is given next to none.",
       MetricType::Gauge, [](const BackendSnapshot& b) { return b.breaker_open ? 1 : 0; });
  auto& failed = families.add("batchproxy_attempts_failed_total",
                              "Calls that failed, by backend and reason.", MetricType::Counter);
  for (const BackendSnapshot& backend : now.backends) {
    for (std::size_t i = 0; i < kCallFailures; ++i) {
      const auto how = static_cast<CallFailure>(i);
      Families::sample(failed, {{"backend", backend.name}, {"reason", std::string(to_string(how))}},
                       static_cast<double>(backend.failed_attempts[i]));
    }
  }
}

json::object to_object(const BackendSnapshot& backend) {
  json::object object{{"name", backend.name},
                      {"url", backend.url},
                      {"state", to_string(backend.state)},
                      {"simulated", backend.simulated},
                      {"inflight", backend.inflight},
                      {"room", backend.room},
                      {"answered", backend.answered}};
  if (backend.breaker_open) object["breaker"] = "open";
  if (backend.stuck) object["stuck"] = true;
  if (!backend.problem.empty()) object["problem"] = backend.problem;
  if (!backend.gpus.empty()) object["gpus"] = backend.gpus;
  return object;
}

}  // namespace

bool Snapshot::any_ready() const {
  return std::any_of(backends.begin(), backends.end(),
                     [](const auto& backend) { return backend.state == BackendState::kReady; });
}

std::uint64_t Snapshot::finished_total() const {
  return std::accumulate(finished.begin(), finished.end(), std::uint64_t{0});
}

std::string to_json(const Snapshot& now) {
  json::object finished, batches;
  for (std::size_t i = 0; i < kAllFinishes.size(); ++i) {
    finished[to_string(kAllFinishes[i])] = now.finished[i];
  }
  for (std::size_t i = 0; i < kAllFlushReasons.size(); ++i) {
    batches[to_string(kAllFlushReasons[i])] = now.batches[i];
  }
  json::array backends;
  for (const BackendSnapshot& backend : now.backends) backends.push_back(to_object(backend));
  const json::object status{
      {"version", BATCHPROXY_VERSION},
      {"uptime_seconds", static_cast<std::uint64_t>(now.uptime)},
      {"state", now.draining      ? "draining"
                : now.any_ready() ? "ready"
                                  : "no_backend"},
      {"flush", now.flush},
      {"models", now.models},
      {"requests",
       {{"received", now.received},
        {"finished", std::move(finished)},
        {"queued", now.queued},
        {"inflight", now.inflight},
        {"retried", now.retried},
        {"affine", now.affine},
        {"merged", now.merged_requests}}},
      {"merged_calls", now.merged_calls},
      {"prompts", {{"queued", now.queued_prompts}, {"answered", now.prompts_answered}}},
      {"connections", now.connections},
      {"batches", std::move(batches)},
      {"backends", std::move(backends)}};
  return json::serialize(status) + "\n";
}

std::string to_prometheus(const Snapshot& now) {
  Families families;
  add_requests(families, now);
  add_latency(families, now);
  add_backends(families, now);
  if (!now.keys.empty()) {
    auto& keys = families.add("batchproxy_key_requests_total", "Requests by the name of their key.",
                              MetricType::Counter);
    for (const KeySnapshot& key : now.keys) {
      Families::sample(keys, {{"key", key.name}}, static_cast<double>(key.requests));
    }
  }
  auto& connections =
      families.add("batchproxy_connections",
                   "Clients connected: idle between two requests, or active.", MetricType::Gauge);
  const std::uint64_t idle = std::min(now.idle, now.connections);  // counted a moment apart
  Families::sample(connections, {{"state", "idle"}}, static_cast<double>(idle));
  Families::sample(connections, {{"state", "active"}}, static_cast<double>(now.connections - idle));
  families.one("batchproxy_connections_evicted_total", "Idle clients closed to make room.",
               MetricType::Counter, now.evicted);
  families.one("batchproxy_buffered_bytes", "Bytes of request bodies in memory.", MetricType::Gauge,
               now.buffered);
  auto& failed = families.add("batchproxy_accept_errors_total",
                              "Times that a client could not be taken.", MetricType::Counter);
  for (std::size_t i = 0; i < kAcceptErrors.size(); ++i) {
    Families::sample(failed, {{"errno", std::string(kAcceptErrors[i])}},
                     static_cast<double>(now.accept_errors[i]));
  }
  families.one("batchproxy_connections_accepted_total", "Clients accepted ever.",
               MetricType::Counter, now.accepted);
  families.one("batchproxy_config_generation", "Grows with every reload that took effect.",
               MetricType::Gauge, now.config_generation);
  families.one("batchproxy_config_last_reload_success", "0 after a reload that was refused.",
               MetricType::Gauge, now.last_reload_failed ? 0 : 1);
  auto& build = families.add("batchproxy_build_info", "Always 1.", MetricType::Gauge);
  Families::sample(build, {{"version", BATCHPROXY_VERSION}}, 1);
  return prometheus::TextSerializer().Serialize(families.list());
}

}  // namespace batchproxy
