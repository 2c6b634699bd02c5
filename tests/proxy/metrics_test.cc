// tests/proxy/metrics_test.cc - the metrics: counted, summed, listed in docs/METRICS.md.
//
// UPDATE_GOLDEN=1 writes that file instead; read the difference before you commit it.
#include "proxy/metrics/metrics.h"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {
namespace {

TEST(Metrics, AreSummedOverThreads) {
  const auto sum = std::make_unique<Metrics>(), one = std::make_unique<Metrics>(),
             other = std::make_unique<Metrics>();
  one->received.add(3);
  other->received.add(4);
  one->count_error(Errc::kQueueFull);
  other->count_error(Errc::kQueueFull);
  other->count_answered(63);
  one->count_failed_attempt(63, CallFailure::kNoAnswer);
  one->latency.observe(std::chrono::milliseconds(30));
  other->latency.observe(std::chrono::hours(1));
  other->connections.add(2);
  other->connections.idle.add();
  add(*sum, *one);
  add(*sum, *other);
  EXPECT_EQ(sum->received, 7u);
  EXPECT_EQ(sum->errors[Errc::kQueueFull], 2u);
  EXPECT_EQ(sum->errors[Errc::kOverloaded], 0u);
  EXPECT_EQ(sum->by_backend[63].answered, 1u);
  EXPECT_EQ(sum->by_backend[63].failed_attempts[CallFailure::kNoAnswer], 1u);
  EXPECT_EQ(sum->latency.bucket(2), 1u);
  EXPECT_EQ(sum->latency.bucket(LatencyHistogram::kBuckets - 1), 1u);
  EXPECT_DOUBLE_EQ(sum->latency.sum(), 3600.03);
  EXPECT_EQ(sum->connections, 2u);
  EXPECT_EQ(sum->connections.idle, 1u);
}

TEST(Metrics, HaveTheBucketsOfVllmForTheFirstByte) {
  FirstByteHistogram times;
  times.observe(std::chrono::milliseconds(1));
  times.observe(std::chrono::milliseconds(200));
  times.observe(std::chrono::hours(1));
  times.observe(-std::chrono::seconds(1));
  EXPECT_EQ(times.bucket(0), 2u);
  EXPECT_EQ(times.bucket(8), 1u);
  EXPECT_EQ(times.bucket(FirstByteHistogram::kBuckets - 1), 1u);
  EXPECT_DOUBLE_EQ(times.sum(), 3600.201);
}

TEST(Metrics, AreNamedAsPrometheusAsks) {
  std::set<std::string_view> names;
  for (const MetricRow& row : metric_rows()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_THAT(row.name, testing::StartsWith("batchproxy_"));
    EXPECT_EQ(row.name.ends_with("_total"), row.kind == MetricKind::kCounter) << row.name;
    EXPECT_THAT(row.help, testing::EndsWith("."));
  }
}

constexpr std::string_view kIntro = R"(# Metrics

`/metrics` on the admin address (`batchproxy.admin`) shows these to Prometheus; `/status` shows some of them, and more, to
people. This file is made by a test from `proxy/metrics/metrics.h` (`UPDATE_GOLDEN=1` rewrites it).

Whenever nothing moves, `batchproxy_requests_received_total` is the sum of `batchproxy_requests_finished_total`,
`batchproxy_requests_queued` and `batchproxy_requests_inflight`. `batchproxy_errors_total` has the words of
[ERRORS.md](ERRORS.md).

| metric | kind | labels | meaning |
|---|---|---|---|
)";

std::string documented() {
  constexpr std::array kKinds = {"counter", "gauge", "histogram"};
  std::string text(kIntro);
  for (const MetricRow& row : metric_rows()) {
    std::vector<std::string> labels;
    for (const std::string_view label : row.labels) labels.push_back(fmt::format("`{}`", label));
    text += fmt::format("| `{}` | {} | {} | {} |\n", row.name,
                        kKinds.at(static_cast<std::size_t>(row.kind)), fmt::join(labels, ", "),
                        row.help);
  }
  return text;
}

TEST(Metrics, AreListedInDocsMetricsMd) {
  const std::string path = BATCHPROXY_SOURCE_DIR "/docs/METRICS.md";
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << documented();
  std::stringstream found;
  found << std::ifstream(path).rdbuf();
  EXPECT_EQ(found.str(), documented());
}

}  // namespace
}  // namespace batchproxy
