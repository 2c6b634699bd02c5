// proxy/metrics/snapshot.cc - the walks over all metrics: for Prometheus, and for the docs.
#include "proxy/metrics/snapshot.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include <boost/pfr.hpp>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace batchproxy {

namespace {

namespace pfr = boost::pfr;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;
using ByBackend = decltype(Metrics::by_backend);

template <class Metric>
concept HasLabel = requires { typename Metric::Label; };
template <class Metric>
inline constexpr bool is_info = requires { Metric::kValue; };
template <class Metric>
inline constexpr bool is_by_key = false;
template <Text name, Text help, Text status>
inline constexpr bool is_by_key<CounterBy<KeySlot, name, help, status>> = true;

// Calls visit.template operator()<i>() for each member of `Set`.
template <class Set, class Visit>
void for_each_index(Visit visit) {
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    (visit.template operator()<kIndex>(), ...);
  }(std::make_index_sequence<pfr::tuple_size_v<Set>>());
}

// --- for Prometheus -----------------------------------------------------------------------------

constexpr MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return MetricType::Counter;
    case MetricKind::kGauge:
      return MetricType::Gauge;
    case MetricKind::kHistogram:
      return MetricType::Histogram;
  }
  return MetricType::Untyped;
}

class Writer {
 public:
  explicit Writer(const Snapshot& now) : now_(now) {}

  template <class Metric>
  void add(const Metric& metric) {
    sample(begin<Metric>(), {}, metric);
    if (families_.back().metric.empty()) families_.pop_back();
  }

  // Each metric of a backend is a family, with samples of all backends in it.
  void add(const ByBackend&) {
    add_by_backend<BackendMetrics>();
    add_by_backend<BackendFigures>();
  }

  // Likewise for models and GPUs.
  void add_rest() {
    add_group<ModelMetrics>(now_.by_model, "model", &ModelCounts::name);
    add_group<GpuMetrics>(now_.gpus, "gpu", &GpuSnapshot::index);
  }

  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  template <class Set>
  void add_by_backend() {
    add_group<Set>(now_.backends, "backend", &BackendSnapshot::name);
  }

  // `Item` is a `Set`, and `name` tells one from the others.
  template <class Set, class Item, class Name>
  void add_group(const std::vector<Item>& items, const char* label, Name Item::* name) {
    for_each_index<Set>([&]<std::size_t kIndex>() {
      using Metric = pfr::tuple_element_t<kIndex, Set>;
      MetricFamily& family = begin<Metric>();
      for (const Item& item : items) {
        const Set& metrics = item;
        const Metric& metric = pfr::get<kIndex>(metrics);
        if constexpr (std::is_same_v<Set, GpuMetrics>) {
          if (metric.get() == GpuMetrics::kUntold) continue;
        }
        sample(family, {{label, item.*name}}, metric);
      }
      if (family.metric.empty()) families_.pop_back();
    });
  }

  template <class Metric>
  MetricFamily& begin() {
    families_.push_back(
        {std::string(Metric::kName), std::string(Metric::kHelp), type_of(Metric::kKind), {}});
    return families_.back();
  }

  static void put(MetricFamily& family, Labels labels, std::uint64_t value) {
    ClientMetric sample;
    sample.label = std::move(labels);
    if (family.type == MetricType::Counter) {
      sample.counter.value = static_cast<double>(value);
    } else {
      sample.gauge.value = static_cast<double>(value);
    }
    family.metric.push_back(std::move(sample));
  }

  static void put(MetricFamily& family, Labels labels, std::string_view label,
                  std::string_view word, std::uint64_t value) {
    labels.push_back({std::string(label), std::string(word)});
    put(family, std::move(labels), value);
  }

  void sample(MetricFamily& family, Labels labels, const Count& count) const {
    put(family, std::move(labels), count);
  }

  template <Text name, Text help, Text status>
  void sample(MetricFamily& family, Labels labels,
              const Measure<name, help, status>& measure) const {
    ClientMetric sample;
    sample.label = std::move(labels);
    sample.gauge.value = measure.real();
    family.metric.push_back(std::move(sample));
  }

  template <HasLabel Metric>
  void sample(MetricFamily& family, const Labels& labels, const Metric& counts) const {
    using Label = typename Metric::Label;
    if constexpr (is_by_key<Metric>) {
      sample_keys(family, counts);
    } else {
      for (std::size_t i = 0; i < counts.size(); ++i) {
        put(family, labels, Label::kName, Label::word(i), counts[i]);
      }
    }
  }

  // Those that have no slot of their own share the last.
  template <class Metric>
  void sample_keys(MetricFamily& family, const Metric& counts) const {
    using Label = typename Metric::Label;
    if (now_.key_names.empty()) return;
    for (std::size_t i = 0; i < now_.key_names.size(); ++i) {
      put(family, {}, Label::kName, now_.key_names[i], counts[i]);
    }
    if (counts.back() > 0) put(family, {}, Label::kName, "(others)", counts.back());
  }

  template <Text name, Text help, Text status>
  void sample(MetricFamily& family, const Labels& labels,
              const IdleAndActive<name, help, status>& all) const {
    const std::uint64_t idle = std::min(all.idle.get(), all.get());  // counted a moment apart
    put(family, labels, "state", "idle", idle);
    put(family, labels, "state", "active", all - idle);
  }

  template <Text name, Text help, Text label, Text value>
  void sample(MetricFamily& family, const Labels& labels,
              const Info<name, help, label, value>& info) const {
    put(family, labels, info.kLabel, info.kValue, 1);
  }

  template <class Bounds>
  void sample(MetricFamily& family, Labels labels,
              const DurationHistogram<Bounds>& histogram) const {
    put_histogram(family, std::move(labels), histogram);
  }
  void sample(MetricFamily& family, Labels labels, const SizeHistogram& histogram) const {
    put_histogram(family, std::move(labels), histogram);
  }

  template <class Histogram>
  static void put_histogram(MetricFamily& family, Labels labels, const Histogram& histogram) {
    ClientMetric sample;
    sample.label = std::move(labels);
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < Histogram::kBuckets; ++i) {
      cumulative += histogram.bucket(i);
      const double bound = i < Histogram::kBounds.size() ? Histogram::kBounds[i]
                                                         : std::numeric_limits<double>::infinity();
      sample.histogram.bucket.push_back({cumulative, bound});
    }
    sample.histogram.sample_count = cumulative;
    sample.histogram.sample_sum = histogram.sum();
    family.metric.push_back(std::move(sample));
  }

  const Snapshot& now_;
  std::vector<MetricFamily> families_;
};

// --- for the docs -------------------------------------------------------------------------------

template <class Metric>
MetricRow row_of(std::vector<std::string_view> labels) {
  if constexpr (HasLabel<Metric>) {
    labels.push_back(Metric::Label::kName);
  } else if constexpr (is_info<Metric>) {
    labels.push_back(Metric::kLabel);
  } else if constexpr (std::is_same_v<Metric, decltype(Metrics::connections)>) {
    labels.push_back("state");
  }
  return {Metric::kName, Metric::kKind, std::move(labels), Metric::kHelp};
}

}  // namespace

bool Snapshot::any_ready() const {
  return std::any_of(backends.begin(), backends.end(),
                     [](const auto& backend) { return backend.state == BackendState::kReady; });
}

std::uint64_t Snapshot::finished_total() const {
  return std::accumulate(finished.begin(), finished.end(), std::uint64_t{0});
}

std::string to_prometheus(const Snapshot& now) {
  Writer writer(now);
  const Metrics& metrics = now;
  pfr::for_each_field(metrics, [&](const auto& metric) { writer.add(metric); });
  writer.add_rest();
  return writer.text();
}

std::vector<MetricRow> metric_rows() {
  std::vector<MetricRow> rows;
  const auto add_group = [&rows]<class Set>(std::string_view label) {
    for_each_index<Set>([&]<std::size_t kInner>() {
      rows.push_back(row_of<pfr::tuple_element_t<kInner, Set>>({label}));
    });
  };
  for_each_index<Metrics>([&]<std::size_t kIndex>() {
    using Metric = pfr::tuple_element_t<kIndex, Metrics>;
    if constexpr (std::is_same_v<Metric, ByBackend>) {
      add_group.template operator()<BackendMetrics>("backend");
      add_group.template operator()<BackendFigures>("backend");
    } else {
      rows.push_back(row_of<Metric>({}));
    }
  });
  add_group.template operator()<ModelMetrics>("model");
  add_group.template operator()<GpuMetrics>("gpu");
  return rows;
}

}  // namespace batchproxy
