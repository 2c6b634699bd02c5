// bench/results/summary.cc - see summary.h.
#include "bench/results/summary.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy::bench {

namespace {

constexpr double kShortest = 1e-9;  // of a window, in seconds: one may not be divided by 0

using LatencyValues = std::array<std::vector<double>, kCountOf<Latency>>;

void add(const RequestResult& result, LatencyValues& values) {
  const auto of = [&](Latency latency) -> std::vector<double>& {
    return values[static_cast<std::size_t>(latency)];
  };
  of(Latency::kE2el).push_back(result.e2el());
  if (result.streamed()) of(Latency::kTtft).push_back(result.ttft());
  if (result.has_tpot()) of(Latency::kTpot).push_back(result.tpot());
  std::vector<double>& itl = of(Latency::kItl);
  itl.insert(itl.end(), result.gaps.begin(), result.gaps.end());
}

void count(const RequestResult& result, Summary& summary, LatencyValues& values) {
  ++summary.asked;
  if (result.id != IdCheck::kNone) ++summary.ids_checked;
  if (result.id == IdCheck::kOther) ++summary.ids_wrong;
  if (!result.answered()) {
    Failure& failure = summary.failures[result.problem];
    if (failure.count++ == 0) failure.example = result.detail;
    return;
  }
  ++summary.answered;
  summary.share[result.backend.empty() ? "direct" : result.backend] += 1;
  if (result.mark != Mark::kNone) ++summary.marked;
  if (result.mark == Mark::kRight) ++summary.right;
  add(result, values);
}

}  // namespace

double Summary::rate(std::int64_t count) const {
  return static_cast<double>(count) / std::max(seconds, kShortest);
}

bool is_good(const RequestResult& result, std::span<const Objective> objectives) {
  if (!result.answered()) return false;
  return std::ranges::all_of(objectives, [&](const Objective& objective) {
    switch (objective.latency) {
      case Latency::kTtft:
        return !result.streamed() || result.ttft() <= objective.seconds;
      case Latency::kTpot:
        return !result.has_tpot() || result.tpot() <= objective.seconds;
      case Latency::kE2el:
        return result.e2el() <= objective.seconds;
      case Latency::kItl:
      case Latency::kCount:
        break;
    }
    return true;
  });
}

Summary summarise(std::span<const Stretch> stretches, std::span<const Objective> objectives) {
  Summary summary;
  LatencyValues values;
  std::int64_t ended = 0;
  std::int64_t good = 0;
  for (const auto& [requests, window] : stretches) {
    summary.seconds += window.seconds();
    for (const RequestResult& result : requests) {
      if (result.answered() && window.has(result.end)) {
        ++ended;
        good += is_good(result, objectives) ? 1 : 0;
        summary.prompt_tokens += result.prompt_tokens;
        summary.output_tokens += result.output_tokens;
      }
      if (window.has(result.due)) {
        count(result, summary, values);
      } else {
        ++summary.left_out;
      }
    }
  }
  for (auto& [backend, part] : summary.share) part /= static_cast<double>(summary.answered);
  for (std::size_t i = 0; i < values.size(); ++i) {
    summary.latencies[i] = distribution_of(std::move(values[i]));
  }
  summary.per_second = summary.rate(ended);
  summary.good.reset();
  if (!objectives.empty()) summary.good = summary.rate(good);
  return summary;
}

Objective parse_objective(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto latency = latency_of(std::string_view(text).substr(0, colon));
  const auto ms = colon == std::string::npos
                      ? std::nullopt
                      : number_in<double>(std::string_view(text).substr(colon + 1));
  if (!latency || *latency == Latency::kItl || !ms || *ms <= 0) {
    throw std::runtime_error(fmt::format(
        "--goodput {}: write ttft:MS, tpot:MS or e2el:MS, such as e2el:5000 (milliseconds)", text));
  }
  return {*latency, *ms / 1e3};
}

Cut parse_cut(const std::string& text) {
  std::string_view number = text;
  const bool share = number.ends_with('%');
  if (share || number.ends_with('s')) number.remove_suffix(1);
  const auto value = number_in<double>(number);
  if (!value || *value < 0 || (share && *value >= 100)) {
    throw std::runtime_error(
        fmt::format("'{}' is neither seconds, such as 5s, nor a share, such as 10%", text));
  }
  return share ? Cut{0, *value / 100} : Cut{*value, 0};
}

Window window_of(double seconds, const Cut& warm_up, const Cut& cool_down) {
  const double begin = std::min(warm_up.of(seconds), seconds);
  const double end = std::max(seconds - cool_down.of(seconds), 0.0);
  if (begin <= end) return {begin, end};
  const double middle = seconds / 2;
  return {middle, middle};
}

}  // namespace batchproxy::bench
