// proxy/otlp/span_exporter.h - SpanExporter: sends what has become of requests to an OpenTelemetry
// collector, as spans, from a thread of its own.
//
// No request ever waits for it: it takes records that have been left anyway (record_feed.h), holds
// a bounded number of them, and drops and counts the rest. ExportCore decides, SpanExporter waits
// and sends.
//
// Threading: its members are called on the control thread, except sent() and dropped().
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/call/control_stream.h"
#include "backends/names/endpoint.h"
#include "backends/names/resolver.h"
#include "proxy/otlp/export_core.h"
#include "proxy/otlp/span_text.h"
#include "proxy/trace/record_feed.h"

namespace batchproxy {

struct ExportSettings {
  bool is_on() const { return !url.empty(); }

  std::string url{};     // of the collector, as it was given; empty: there is none
  Endpoint collector{};  // but for its addresses
  HostPort host{};       // where these are
  std::string path{};
  HttpFields headers{};
  std::string service_name{};
};

class SpanExporter {
 public:
  SpanExporter() = default;
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // Before the first set(): where records come from. Both outlive finish().
  void add(asio::io_context& io, const RecordRing& ring) { feed_.add(io, ring); }
  // From the next records on.
  void set(ExportSettings settings);
  // Once the I/O threads have ended: sends what is left, as far as that goes in a moment.
  void finish();

  // Requests whose spans a collector has taken, and those whose spans are lost.
  std::uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void change(ExportSettings settings, const RecordFeed::Mark& mark);
  bool take(const RecordFeed::Taken& taken);
  void count();
  Task<void> work();
  Task<void> send();
  void tell_problem(const std::string& why);

  asio::io_context io_{1};
  std::thread thread_;
  // The thread's own:
  asio::steady_timer timer_{io_};
  SystemResolver resolver_{io_};
  RecordFeed feed_{io_, [this](const RecordFeed::Taken& taken) { return take(taken); }};
  ExportCore core_;
  ExportSettings settings_;
  SpanSource source_;
  bool ends_ = false;
  TimePoint told_{};  // that it cannot be reached
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace batchproxy
