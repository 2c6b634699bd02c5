// proxy/ui/history.cc - see history.h.
#include "proxy/ui/history.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

std::string list_of(const std::vector<double>& values) {
  std::string list;
  for (const double value : values) {
    list.append(list.empty() ? "" : ",");
    list.append(value < 0 ? "null" : fmt::format("{:.3g}", value));
  }
  return "[" + list + "]";
}

}  // namespace

double fill_of(const Snapshot& now) {
  double inflight = 0, room = 0;
  for (const BackendSnapshot& backend : now.backends) {
    if (backend.state != BackendState::kReady) continue;
    inflight += static_cast<double>(backend.inflight);
    room += static_cast<double>(backend.room);
  }
  return room > 0 ? inflight / room : 0;
}

void History::add(const Snapshot& now) {
  Point point;
  point.rate = now.last_10s.answered;
  point.queue = static_cast<double>(now.queued);
  point.p95 = now.trend.p95;
  point.fill = fill_of(now);
  point.cache = now.trend.prefix_hits.value_or(-1);
  point.errors = now.last_10s.errors;
  for (const BackendSnapshot& backend : now.backends) {
    point.engines.emplace_back(backend.name, backend.trend.answers_10s);
  }
  points_.push_back(std::move(point));
  if (points_.size() > kPoints) points_.pop_front();
}

std::string History::to_json() const {
  const auto curve = [this](double Point::* member) {
    std::vector<double> values;
    for (const Point& point : points_) values.push_back(point.*member);
    return list_of(values);
  };
  // One that came later was not there before.
  std::map<std::string, std::vector<double>> engines;
  for (std::size_t i = 0; i < points_.size(); ++i) {
    for (const auto& [name, rate] : points_[i].engines) {
      std::vector<double>& values = engines.try_emplace(name, points_.size(), -1.0).first->second;
      values[i] = rate;
    }
  }
  std::string rates;
  for (const auto& [name, values] : engines) {
    rates.append(rates.empty() ? "" : ",").append(json_text(name)).append(":");
    rates.append(list_of(values));
  }
  return fmt::format(
      R"({{"rate":{},"queue":{},"p95":{},"fill":{},"cache":{},"errors":{},"engines":{{{}}}}})",
      curve(&Point::rate), curve(&Point::queue), curve(&Point::p95), curve(&Point::fill),
      curve(&Point::cache), curve(&Point::errors), rates);
}

}  // namespace batchproxy
