// proxy/metrics/status_json.cc - /status, written and read: two walks over the same metrics.
#include <algorithm>
#include <cmath>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/pfr.hpp>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {

namespace {

namespace json = boost::json;
namespace pfr = boost::pfr;

using ByBackend = decltype(Metrics::by_backend);

template <class Metric>
concept HasLabel = requires { typename Metric::Label; };

// --- written ------------------------------------------------------------------------------------

// At "a.b", `value` is the `b` of the object `a`.
void put(json::object& root, std::string_view place, json::value value) {
  const std::size_t dot = place.find('.');
  if (dot == std::string_view::npos) {
    root[place] = std::move(value);
    return;
  }
  json::value& inner = root[place.substr(0, dot)];
  if (!inner.is_object()) inner.emplace_object();
  inner.as_object()[place.substr(dot + 1)] = std::move(value);
}

template <class Metric>
void show(json::object& root, const Metric& metric) {
  static_assert(IsMetric<Metric>, "a member of Metrics has a name, a kind and a meaning");
  if constexpr (Metric::kStatus.empty()) {
    return;
  } else if constexpr (HasLabel<Metric>) {
    json::object counts;
    for (std::size_t i = 0; i < metric.size(); ++i) {
      counts[Metric::Label::word(i)] = metric[i].get();
    }
    put(root, Metric::kStatus, std::move(counts));
  } else if constexpr (requires { metric.real(); }) {
    put(root, Metric::kStatus, metric.real());
  } else {
    put(root, Metric::kStatus, metric.get());
  }
}
void show(json::object&, const ByBackend&) {}  // see to_object()

// Whoever reads this wants three figures.
double rounded(double value) {
  if (!(value > 0)) return 0;
  const double unit = std::pow(10, std::floor(std::log10(value)) - 2);
  return unit >= 1 ? std::round(value) : std::round(value / unit) / std::round(1 / unit);
}

json::object to_object(const Rates& rates) {
  return {{"received", rounded(rates.received)},
          {"answered", rounded(rates.answered)},
          {"tokens", rounded(rates.tokens)},
          {"errors", rounded(rates.errors)}};
}

json::object to_object(const BackendTrend& trend) {
  json::object object{{"answers_per_second_10s", rounded(trend.answers_10s)},
                      {"answers_per_second_60s", rounded(trend.answers_60s)},
                      {"tokens_per_second_10s", rounded(trend.tokens_10s)},
                      {"tokens_per_second_60s", rounded(trend.tokens_60s)},
                      {"answers", trend.answers},
                      {"p50_seconds", rounded(trend.p50)},
                      {"p95_seconds", rounded(trend.p95)}};
  if (trend.prefix_hits) object["prefix_hits"] = rounded(*trend.prefix_hits);
  return object;
}

json::object to_object(const JobSnapshot& job) {
  json::object object{{"id", job.id},
                      {"status", job.status},
                      {"total", job.total},
                      {"done", job.done},
                      {"failed", job.failed}};
  if (job.eta) object["eta_seconds"] = std::round(*job.eta);
  return object;
}

json::object to_object(const RecordedJobSnapshot& job) {
  json::object object{{"name", job.name},
                      {"recorded", job.recorded},
                      {"replayed", job.replayed},
                      {"under_way", job.under_way},
                      {"seconds_ago", std::round(job.seconds_ago)}};
  if (!job.key.empty()) object["key"] = job.key;
  return object;
}

json::object to_object(const GpuSnapshot& gpu) {
  json::object object{{"gpu", gpu.index}, {"name", gpu.name}};
  const GpuMetrics& metrics = gpu;
  pfr::for_each_field(metrics, [&](const auto& metric) {
    if (metric.get() != GpuMetrics::kUntold) show(object, metric);
  });
  return object;
}

// Of each model the ends that there were.
json::object to_object(const std::vector<ModelCounts>& models) {
  json::object object;
  for (const ModelCounts& model : models) {
    json::object counts;
    for (std::size_t i = 0; i < model.finished.size(); ++i) {
      if (model.finished[i] > 0) counts[LabelOf<Finish>::word(i)] = model.finished[i].get();
    }
    if (!counts.empty()) object[model.name] = std::move(counts);
  }
  return object;
}

// Only the codes that there were.
json::object errors_of(const Snapshot& now) {
  json::object errors;
  for (std::size_t i = 0; i < now.errors.size(); ++i) {
    if (now.errors[i] > 0) errors[LabelOf<Errc>::word(i)] = now.errors[i].get();
  }
  return errors;
}

json::object to_object(const BackendSnapshot& backend) {
  json::object object{{"name", backend.name},
                      {"url", backend.url},
                      {"state", to_string(backend.state)},
                      {"simulated", backend.simulated},
                      {"launched", backend.launched}};
  const BackendMetrics& metrics = backend;
  pfr::for_each_field(metrics, [&](const auto& metric) { show(object, metric); });
  const BackendFigures& figures = backend;
  pfr::for_each_field(figures, [&](const auto& metric) { show(object, metric); });
  object["tells_figures"] = backend.tells_figures;
  object["trend"] = to_object(backend.trend);
  object["condition"] = to_string(backend.condition);
  if (!backend.remark.empty()) object["remark"] = backend.remark;
  if (!backend.models.empty()) object["models"] = backend.models;
  if (!backend.doing.empty()) object["doing"] = backend.doing;
  if (!backend.silence.empty()) object["silence"] = backend.silence;
  if (backend.last_problem) {
    object["last_problem"] =
        json::object{{"text", backend.last_problem->text},
                     {"seconds_ago", std::round(backend.last_problem->seconds_ago)}};
  }
  if (backend.breaker_open) object["breaker"] = "open";
  if (backend.stuck) object["stuck"] = true;
  if (!backend.problem.empty()) object["problem"] = backend.problem;
  if (!backend.gpus.empty()) object["gpus"] = backend.gpus;
  if (!backend.node.empty()) object["node"] = backend.node;
  if (!backend.repairs.empty()) {
    object["repairs"] = json::array(backend.repairs.begin(), backend.repairs.end());
  }
  return object;
}

std::string_view state_of(const Snapshot& now) {
  if (now.draining) return "draining";
  return now.any_ready() ? "ready" : "no_backend";
}

// --- read ---------------------------------------------------------------------------------------

// The value at "a.b"; null when there is none.
const json::value* find(const json::object& root, std::string_view place) {
  const std::size_t dot = place.find('.');
  const json::value* found = root.if_contains(place.substr(0, dot));
  if (found == nullptr || dot == std::string_view::npos) return found;
  return found->is_object() ? find(found->as_object(), place.substr(dot + 1)) : nullptr;
}

double number(const json::object& root, std::string_view place) {
  const json::value* found = find(root, place);
  return found != nullptr && found->is_number() ? found->to_number<double>() : 0;
}

std::string text(const json::object& root, std::string_view place) {
  const json::value* found = find(root, place);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
}

bool flag(const json::object& root, std::string_view place) {
  const json::value* found = find(root, place);
  return found != nullptr && found->is_bool() && found->as_bool();
}

const json::object& object_at(const json::object& root, std::string_view place) {
  static const json::object kNone;
  const json::value* found = find(root, place);
  return found != nullptr && found->is_object() ? found->as_object() : kNone;
}

template <class Metric>
void read(const json::object& root, Metric& metric) {
  if constexpr (Metric::kStatus.empty()) {
    return;
  } else if constexpr (HasLabel<Metric>) {
    const json::object& counts = object_at(root, Metric::kStatus);
    for (std::size_t i = 0; i < metric.size(); ++i) {
      metric[i] = static_cast<std::uint64_t>(number(counts, Metric::Label::word(i)));
    }
  } else if constexpr (requires { metric.real(); }) {
    metric = number(root, Metric::kStatus);
  } else {
    metric = static_cast<std::uint64_t>(number(root, Metric::kStatus));
  }
}
void read(const json::object&, ByBackend&) {}  // see read_backend()

template <class Set>
void read_all(const json::object& root, Set& metrics) {
  pfr::for_each_field(metrics, [&root](auto& metric) { read(root, metric); });
}

// The first of all enumerators that has this word.
template <class Enum>
Enum named(std::string_view word, Enum otherwise) {
  for (const Enum one : kAll<Enum>) {
    if (to_string(one) == word) return one;
  }
  return otherwise;
}

Rates read_rates(const json::object& rates) {
  return {.received = number(rates, "received"),
          .answered = number(rates, "answered"),
          .tokens = number(rates, "tokens"),
          .errors = number(rates, "errors")};
}

BackendTrend read_trend(const json::object& trend) {
  BackendTrend read{.answers_10s = number(trend, "answers_per_second_10s"),
                    .answers_60s = number(trend, "answers_per_second_60s"),
                    .tokens_10s = number(trend, "tokens_per_second_10s"),
                    .tokens_60s = number(trend, "tokens_per_second_60s"),
                    .answers = static_cast<std::uint64_t>(number(trend, "answers")),
                    .p50 = number(trend, "p50_seconds"),
                    .p95 = number(trend, "p95_seconds")};
  if (trend.contains("prefix_hits")) read.prefix_hits = number(trend, "prefix_hits");
  return read;
}

JobSnapshot read_job(const json::object& object) {
  const auto count = [&object](std::string_view name) {
    return static_cast<std::uint64_t>(number(object, name));
  };
  JobSnapshot job{.id = text(object, "id"),
                  .status = text(object, "status"),
                  .total = count("total"),
                  .done = count("done"),
                  .failed = count("failed")};
  if (object.contains("eta_seconds")) job.eta = number(object, "eta_seconds");
  return job;
}

RecordedJobSnapshot read_recorded_job(const json::object& object) {
  const auto count = [&object](std::string_view name) {
    return static_cast<std::uint64_t>(number(object, name));
  };
  return {.name = text(object, "name"),
          .key = text(object, "key"),
          .recorded = count("recorded"),
          .replayed = count("replayed"),
          .under_way = count("under_way"),
          .seconds_ago = number(object, "seconds_ago")};
}

// Calls visit(object) for each object of the list `name`.
template <class Visit>
void for_each_object(const json::object& root, std::string_view name, Visit visit) {
  const json::value* list = root.if_contains(name);
  if (list == nullptr || !list->is_array()) return;
  for (const json::value& one : list->as_array()) {
    if (one.is_object()) visit(one.as_object());
  }
}

BackendSnapshot read_backend(const json::object& object) {
  BackendSnapshot backend;
  backend.name = text(object, "name");
  backend.url = text(object, "url");
  backend.state = named(text(object, "state"), BackendState::kConfigured);
  backend.simulated = flag(object, "simulated");
  backend.launched = flag(object, "launched");
  read_all<BackendMetrics>(object, backend);
  read_all<BackendFigures>(object, backend);
  backend.up = backend.state == BackendState::kReady ? 1 : 0;
  backend.tells_figures = flag(object, "tells_figures");
  backend.trend = read_trend(object_at(object, "trend"));
  backend.condition = named(text(object, "condition"), Condition::kFine);
  backend.slow = backend.condition == Condition::kSlow ? 1 : 0;
  backend.remark = text(object, "remark");
  backend.models = text(object, "models");
  backend.doing = text(object, "doing");
  backend.silence = text(object, "silence");
  if (object.contains("last_problem")) {
    backend.last_problem =
        LastProblem{text(object, "last_problem.text"), number(object, "last_problem.seconds_ago")};
  }
  backend.breaker_open = text(object, "breaker") == "open" ? 1 : 0;
  backend.stuck = flag(object, "stuck") ? 1 : 0;
  backend.problem = text(object, "problem");
  backend.gpus = text(object, "gpus");
  backend.node = text(object, "node");
  const json::value* repairs = object.if_contains("repairs");
  if (repairs == nullptr || !repairs->is_array()) return backend;
  for (const json::value& repair : repairs->as_array()) {
    if (repair.is_string()) backend.repairs.emplace_back(repair.as_string());
  }
  return backend;
}

}  // namespace

std::string to_json(const Snapshot& now) {
  json::object status{{"version", now.version},
                      {"uptime_seconds", static_cast<std::uint64_t>(now.uptime)},
                      {"state", state_of(now)},
                      {"flush", now.flush},
                      {"models", now.models}};
  const Metrics& metrics = now;
  pfr::for_each_field(metrics, [&](const auto& metric) { show(status, metric); });
  if (!now.waiting_for.empty()) put(status, "queue.waiting_for", json::value(now.waiting_for));
  status["rates"] =
      json::object{{"last_10s", to_object(now.last_10s)}, {"last_60s", to_object(now.last_60s)}};
  status["trend"] = to_object(now.trend);
  status["errors"] = errors_of(now);
  json::array jobs;
  for (const JobSnapshot& job : now.jobs) jobs.push_back(to_object(job));
  status["jobs"] = std::move(jobs);
  json::array recording;
  for (const RecordedJobSnapshot& job : now.recording) recording.push_back(to_object(job));
  status["recorded_jobs"] = std::move(recording);
  status["by_model"] = to_object(now.by_model);
  if (!now.gpus.empty()) {
    json::array gpus;
    for (const GpuSnapshot& gpu : now.gpus) gpus.push_back(to_object(gpu));
    status["gpus"] = std::move(gpus);
  }
  json::array backends;
  for (const BackendSnapshot& backend : now.backends) backends.push_back(to_object(backend));
  status["backends"] = std::move(backends);
  return json::serialize(status) + "\n";
}

std::optional<Snapshot> read_status(std::string_view status) {
  boost::system::error_code error;
  const json::value parsed = json::parse(status, error);
  if (error || !parsed.is_object()) return std::nullopt;
  const json::object& object = parsed.as_object();
  const json::value* backends = object.if_contains("backends");
  if (backends == nullptr || !backends->is_array()) return std::nullopt;
  Snapshot now;
  read_all<Metrics>(object, now);
  now.version = text(object, "version");
  now.uptime = number(object, "uptime_seconds");
  now.draining = text(object, "state") == "draining";
  now.flush = text(object, "flush");
  now.models = text(object, "models");
  now.waiting_for = text(object, "queue.waiting_for");
  now.last_10s = read_rates(object_at(object, "rates.last_10s"));
  now.last_60s = read_rates(object_at(object, "rates.last_60s"));
  now.trend = read_trend(object_at(object, "trend"));
  const json::object& errors = object_at(object, "errors");
  for (std::size_t i = 0; i < now.errors.size(); ++i) {
    now.errors[i] = static_cast<std::uint64_t>(number(errors, LabelOf<Errc>::word(i)));
  }
  for_each_object(object, "jobs",
                  [&now](const json::object& job) { now.jobs.push_back(read_job(job)); });
  for_each_object(object, "recorded_jobs", [&now](const json::object& job) {
    now.recording.push_back(read_recorded_job(job));
  });
  for (const json::value& backend : backends->as_array()) {
    if (!backend.is_object()) return std::nullopt;
    now.backends.push_back(read_backend(backend.as_object()));
    now.backends.back().id = static_cast<BackendId>(now.backends.size() - 1);
  }
  return now;
}

}  // namespace batchproxy
