// proxy/metrics/metric.h - the kinds of metrics. A metric knows its name and its meaning by its
// type:
//
//   Counter<"batchproxy_requests_retried_total", "Attempts repeated after one had failed.">
//   retried;
//
// and holds nothing but its numbers. What one also shows in /status says where: the third text, a
// path of keys with dots between.
//
// Threading: as Count: one writer, any reader.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "batcher/base/count.h"
#include "batcher/base/latency_histogram.h"
#include "batcher/base/size_histogram.h"

namespace batchproxy {

enum class MetricKind { kCounter, kGauge, kHistogram };  // as Prometheus has them

// A text as a template argument.
template <std::size_t N>
struct Text {
  consteval Text(const char (&text)[N]) { std::copy_n(text, N, chars); }
  constexpr std::string_view view() const { return {chars, N - 1}; }

  char chars[N]{};
};

template <MetricKind kind, Text name, Text help, Text status>
struct Described {
  static constexpr MetricKind kKind = kind;
  static constexpr std::string_view kName = name.view();
  static constexpr std::string_view kHelp = help.view();
  static constexpr std::string_view kStatus = status.view();  // empty: not in /status
};

template <class T>
concept IsMetric = requires {
  T::kKind;
  T::kName;
  T::kHelp;
  T::kStatus;
};

// One number that only grows.
template <Text name, Text help, Text status = "">
struct Counter : Count, Described<MetricKind::kCounter, name, help, status> {
  using Count::operator=;
};

// One number that goes up and down.
template <Text name, Text help, Text status = "">
struct Gauge : Count, Described<MetricKind::kGauge, name, help, status> {
  using Count::operator=;
};

// A number with a fraction: seconds, or a part of a whole. Kept in millionths.
template <Text name, Text help, Text status = "">
struct Measure : Count, Described<MetricKind::kGauge, name, help, status> {
  Measure& operator=(double value) {
    Count::operator=(value > 0 ? static_cast<std::uint64_t>(value * 1e6) : 0);
    return *this;
  }
  double real() const { return static_cast<double>(get()) / 1e6; }
};

// How the values of `T` are shown as a label: its kName, kSize values, and the word() of each.
template <class T>
struct LabelOf;

// A counter for each value of `T`.
template <class T, Text name, Text help, Text status = "">
struct CounterBy : std::array<Count, LabelOf<T>::kSize>,
                   Described<MetricKind::kCounter, name, help, status> {
  using Label = LabelOf<T>;
  using Cells = std::array<Count, Label::kSize>;
  using Cells::operator[];

  Count& operator[](T value) { return (*this)[static_cast<std::size_t>(value)]; }
  const Count& operator[](T value) const { return (*this)[static_cast<std::size_t>(value)]; }
  CounterBy& operator+=(const CounterBy& other) {
    for (std::size_t i = 0; i < this->size(); ++i) (*this)[i] += other[i];
    return *this;
  }
};

template <Text name, Text help>
struct Latency : LatencyHistogram, Described<MetricKind::kHistogram, name, help, ""> {};

template <Text name, Text help>
struct FirstBytes : FirstByteHistogram, Described<MetricKind::kHistogram, name, help, ""> {};

template <Text name, Text help>
struct Sizes : SizeHistogram, Described<MetricKind::kHistogram, name, help, ""> {};

// How many there are, shown as those that are idle and those that are active.
template <Text name, Text help, Text status>
struct IdleAndActive : Count, Described<MetricKind::kGauge, name, help, status> {
  using Count::operator=;
  IdleAndActive& operator+=(const IdleAndActive& other) {
    add(other.get());
    idle += other.idle;
    return *this;
  }

  Count idle;  // of them
};

// Always 1: what it tells is in its label.
template <Text name, Text help, Text label, Text value>
struct Info : Described<MetricKind::kGauge, name, help, ""> {
  static constexpr std::string_view kLabel = label.view();
  static constexpr std::string_view kValue = value.view();
  Info& operator+=(const Info&) { return *this; }
};

}  // namespace batchproxy
