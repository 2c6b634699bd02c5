// bench/results/comparison.cc - see comparison.h.
#include "bench/results/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <string_view>

#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kEnoughRepeats = 4;  // 70 dealings: p can be 0.03
constexpr std::size_t kSlices = 20;
constexpr double kOtherCache = 0.1;  // of the prompt tokens
constexpr double kAllDealings = 20'000;  // as many are all tried
constexpr int kDealings = 10'000;        // else so many
constexpr double kAlike = 1e-12;         // relative: rounding is no difference

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double ways_to_choose(std::size_t chosen, std::size_t all) {
  double ways = 1;
  for (std::size_t i = 0; i < chosen; ++i) {
    ways *= static_cast<double>(all - i) / static_cast<double>(i + 1);
  }
  return ways;
}

// Counts the dealings that differ at least as much as what was measured.
class Dealings {
 public:
  Dealings(std::vector<double> all, std::size_t first, double measured)
      : all_(std::move(all)),
        first_(first),
        measured_(measured),
        sum_(std::accumulate(all_.begin(), all_.end(), 0.0)) {}

  double try_all() {
    std::vector<bool> in_first(all_.size(), false);
    std::fill_n(in_first.begin(), first_, true);
    do {
      double sum = 0;
      for (std::size_t i = 0; i < all_.size(); ++i) sum += in_first[i] ? all_[i] : 0;
      look_at(sum);
    } while (std::prev_permutation(in_first.begin(), in_first.end()));
    return static_cast<double>(as_far_) / static_cast<double>(tried_);
  }

  // The measured dealing is one of them, so that p is never 0.
  double try_some() {
    std::mt19937_64 random(1);
    for (int deal = 0; deal < kDealings; ++deal) {
      double sum = 0;
      for (std::size_t i = 0; i < first_; ++i) {
        std::swap(all_[i], all_[i + random() % (all_.size() - i)]);
        sum += all_[i];
      }
      look_at(sum);
    }
    return static_cast<double>(as_far_ + 1) / static_cast<double>(tried_ + 1);
  }

 private:
  void look_at(double sum_of_first) {
    const auto others = static_cast<double>(all_.size() - first_);
    const double apart =
        std::abs(sum_of_first / static_cast<double>(first_) - (sum_ - sum_of_first) / others);
    ++tried_;
    if (apart >= measured_ * (1 - kAlike)) ++as_far_;
  }

  std::vector<double> all_;
  const std::size_t first_;
  const double measured_;
  const double sum_;
  std::size_t tried_ = 0;
  std::size_t as_far_ = 0;
};

// The window of one repeat in equal slices of time.
std::vector<Stretch> slices_of(const Repeat& repeat) {
  std::vector<Stretch> slices;
  const double length = repeat.window.seconds() / kSlices;
  for (std::size_t i = 0; i < kSlices; ++i) {
    const double begin = repeat.window.begin + length * static_cast<double>(i);
    slices.push_back({repeat.requests, {begin, begin + length}});
  }
  return slices;
}

std::vector<Summary> parts_of(const Record& record, bool by_repeats) {
  std::vector<Summary> parts;
  for (const Repeat& repeat : record.repeats) {
    const std::vector<Stretch> stretches =
        by_repeats ? std::vector<Stretch>{{repeat.requests, repeat.window}} : slices_of(repeat);
    for (const Stretch& stretch : stretches) {
      parts.push_back(summarise({&stretch, 1}, record.objectives));
    }
  }
  return parts;
}

// What is compared. A part without the figure is left out.
struct ComparedFigure {
  std::string_view name;
  bool more_is_better;
  std::optional<double> (*of)(const Summary&);
};

template <Latency kLatency, std::size_t kQuantile>
std::optional<double> ms(const Summary& summary) {
  const Distribution& distribution = summary[kLatency];
  if (distribution.count == 0) return std::nullopt;
  return 1e3 * distribution.quantiles[kQuantile];
}
template <Latency kLatency>
std::optional<double> mean_ms(const Summary& summary) {
  const Distribution& distribution = summary[kLatency];
  if (distribution.count == 0) return std::nullopt;
  return 1e3 * distribution.mean;
}

constexpr std::size_t kP50 = 0, kP90 = 1, kP99 = 3;
static_assert(kQuantiles[kP50].word == "p50" && kQuantiles[kP90].word == "p90" &&
              kQuantiles[kP99].word == "p99");

constexpr std::array kCompared{
    ComparedFigure{
        "questions/s", true,
        [](const Summary& summary) -> std::optional<double> { return summary.per_second; }},
    ComparedFigure{"answer tokens/s", true,
                   [](const Summary& summary) -> std::optional<double> {
                     return summary.rate(summary.output_tokens);
                   }},
    ComparedFigure{"goodput/s", true, [](const Summary& summary) { return summary.good; }},
    ComparedFigure{"e2el mean ms", false, &mean_ms<Latency::kE2el>},
    ComparedFigure{"e2el p50 ms", false, &ms<Latency::kE2el, kP50>},
    ComparedFigure{"e2el p90 ms", false, &ms<Latency::kE2el, kP90>},
    ComparedFigure{"e2el p99 ms", false, &ms<Latency::kE2el, kP99>},
    ComparedFigure{"ttft p50 ms", false, &ms<Latency::kTtft, kP50>},
    ComparedFigure{"ttft p99 ms", false, &ms<Latency::kTtft, kP99>},
    ComparedFigure{"tpot p50 ms", false, &ms<Latency::kTpot, kP50>},
    ComparedFigure{"tpot p99 ms", false, &ms<Latency::kTpot, kP99>},
    ComparedFigure{"failed %", false,
                   [](const Summary& summary) -> std::optional<double> {
                     if (summary.asked == 0) return std::nullopt;
                     return 100.0 * static_cast<double>(summary.failed()) /
                            static_cast<double>(summary.asked);
                   }},
    ComparedFigure{"accuracy %", true,
                   [](const Summary& summary) -> std::optional<double> {
                     if (summary.marked == 0) return std::nullopt;
                     return 100.0 * static_cast<double>(summary.right) /
                            static_cast<double>(summary.marked);
                   }},
};

std::vector<double> values_of(const ComparedFigure& figure, const std::vector<Summary>& parts) {
  std::vector<double> values;
  for (const Summary& part : parts) {
    if (const auto value = figure.of(part)) values.push_back(*value);
  }
  return values;
}

// Runs that differ in one of these were not asked the same: figures then tell of that, too.
constexpr std::array<std::string_view, 3> kOfAlikeRuns{"model", "questions", "load"};

// Facts that differ in every two runs.
bool always_differs(std::string_view fact) {
  return fact == "date";
}

void note_differences(const Facts& a, const Facts& b, Comparison& comparison) {
  for (const auto& [name, value] : a) {
    const auto other = std::ranges::find(b, name, &Facts::value_type::first);
    const std::string there = other == b.end() ? "not told" : other->second;
    if (there == value || always_differs(name)) continue;
    comparison.differences.push_back(
        fmt::format("{}: {} | {}", name, printable(value), printable(there)));
    if (std::ranges::count(kOfAlikeRuns, name) > 0) comparison.unlike.push_back(name);
  }
}

// Prompts that an engine still held cost it little: the second of two equal runs looks better.
void note_caches(const std::optional<FleetCounts>& a, const std::optional<FleetCounts>& b,
                 Comparison& comparison) {
  const auto hits_a = a ? a->prefix_share() : std::nullopt;
  const auto hits_b = b ? b->prefix_share() : std::nullopt;
  if (!hits_a || !hits_b || std::abs(*hits_a - *hits_b) < kOtherCache) return;
  comparison.differences.push_back(
      fmt::format("prefix hits: {:.0f} % | {:.0f} % (a run with --salt finds no prompt of another)",
                  100 * *hits_a, 100 * *hits_b));
  comparison.unlike.emplace_back("prefix hits");
}

std::string verdict_on(const FigureChange& change, double level) {
  if (change.from == change.to) return "the same";
  if (change.p >= level) return "within the noise";
  return (change.to > change.from) == change.more_is_better ? "better" : "worse";
}

}  // namespace

double permutation_p(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.empty() || b.empty()) return 1;
  std::vector<double> all = a;
  all.insert(all.end(), b.begin(), b.end());
  const bool few = ways_to_choose(a.size(), all.size()) <= kAllDealings;
  Dealings dealings(std::move(all), a.size(), std::abs(mean_of(a) - mean_of(b)));
  return few ? dealings.try_all() : dealings.try_some();
}

std::optional<double> FigureChange::relative() const {
  if (from == 0) return std::nullopt;
  return (to - from) / from;
}

Comparison compare(const Record& a, const Record& b) {
  const bool by_repeats = a.repeats.size() >= kEnoughRepeats && b.repeats.size() >= kEnoughRepeats;
  const std::vector<Summary> parts_a = parts_of(a, by_repeats);
  const std::vector<Summary> parts_b = parts_of(b, by_repeats);
  const Summary whole_a = summarise(a);
  const Summary whole_b = summarise(b);
  Comparison comparison;
  comparison.parts = by_repeats
                         ? fmt::format("{} and {} repeats", parts_a.size(), parts_b.size())
                         : fmt::format("{} and {} slices of time (fewer than {} repeats each)",
                                       parts_a.size(), parts_b.size(), kEnoughRepeats);
  for (const ComparedFigure& figure : kCompared) {
    const auto from = figure.of(whole_a);
    const auto to = figure.of(whole_b);
    if (!from || !to) continue;
    comparison.changes.push_back(
        {std::string(figure.name), *from, *to, figure.more_is_better,
         permutation_p(values_of(figure, parts_a), values_of(figure, parts_b))});
  }
  note_differences(a.facts, b.facts, comparison);
  note_caches(counts_of(a), counts_of(b), comparison);
  return comparison;
}

std::string to_text(const Comparison& comparison) {
  std::string text;
  if (!comparison.unlike.empty()) {
    text = fmt::format(
        "warning: the runs are unlike ({}): the figures tell of that, not only of the servers\n",
        fmt::join(comparison.unlike, ", "));
  }
  for (const std::string& difference : comparison.differences) text += difference + "\n";
  text += fmt::format("{}{:<17}{:>12}{:>12}{:>9}{:>8}\n", text.empty() ? "" : "\n", "", "first",
                      "second", "Δ", "p");
  for (const FigureChange& change : comparison.changes) {
    const auto relative = change.relative();
    text += fmt::format("{:<17}{:>12.1f}{:>12.1f}{:>9}{:>8.3f}  {}\n", change.figure, change.from,
                        change.to, relative ? fmt::format("{:+.1f} %", 100 * *relative) : "",
                        change.p, verdict_on(change, comparison.level));
  }
  return text + fmt::format(
                    "\nPermutation test over {}: p is how often chance alone would make such a "
                    "difference. Below {} it is called better or worse.\n",
                    comparison.parts, comparison.level);
}

}  // namespace batchproxy::bench
