// bench/load/live_line.cc - see live_line.h.
#include "bench/load/live_line.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "bench/results/statistics.h"
#include "bench/results/text.h"

namespace batchproxy::bench {

namespace {
constexpr double kRecent = 5;                // seconds
constexpr std::size_t kMostRecent = 20'000;  // enough for a quantile
}  // namespace

void LiveLine::add(const RequestResult& result) {
  if (!result.answered()) {
    ++failed_;
    return;
  }
  ++answered_;
  recent_.push_back({result.end, result.e2el()});
  if (recent_.size() > kMostRecent) recent_.pop_front();
}

std::string LiveLine::line(double now, std::size_t in_flight) {
  while (!recent_.empty() && recent_.front().end < now - kRecent) recent_.pop_front();
  std::string text = fmt::format("{:.0f} s · {} answered", now, answered_);
  if (expected_ > 0) text = fmt::format("{:.0f} s · {} of {} answered", now, answered_, expected_);
  if (!recent_.empty()) {
    std::vector<double> latencies;
    for (const Recent& each : recent_) latencies.push_back(each.latency);
    std::ranges::sort(latencies);
    const double span = std::max(std::min(now, kRecent), 1e-3);
    const double since = std::max(now - recent_.front().end, 1e-3);
    const bool cut = recent_.size() == kMostRecent;
    text += fmt::format(
        " · {:.1f}/s · p50 {}, p99 {}", static_cast<double>(recent_.size()) / (cut ? since : span),
        time_words(quantile(latencies, 0.5)), time_words(quantile(latencies, 0.99)));
  }
  text += fmt::format(" · {} in flight", in_flight);
  if (failed_ > 0) text += fmt::format(" · {} failed", failed_);
  return text;
}

}  // namespace batchproxy::bench
