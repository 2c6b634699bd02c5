// bench/page/report_page.cc - see report_page.h.
#include "bench/page/report_page.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "bench/page/chart.h"
#include "bench/page/page.h"
#include "bench/results/comparison.h"
#include "bench/results/text.h"

namespace batchproxy::bench {

namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr std::size_t kMostBins = 60;
constexpr std::size_t kHistogramBins = 40;
constexpr double kShortestBin = 0.2;  // seconds
constexpr std::size_t kMostBars = 20;

const Repeat& first_of(const Record& record) {
  static const Repeat kNone;
  return record.repeats.empty() ? kNone : record.repeats.front();
}

std::size_t bins_of(const Repeat& repeat) {
  return std::clamp<std::size_t>(static_cast<std::size_t>(repeat.seconds / kShortestBin), 1,
                                 kMostBins);
}

bool is_simulated(const Record& record) {
  return std::ranges::any_of(record.facts, [](const auto& fact) {
    return (fact.first == "engines" || fact.first == "server") &&
           fact.second.find("simulated") != std::string::npos;
  });
}

std::string name_of(const std::vector<PageRun>& runs, std::size_t number) {
  if (runs.size() == 1) return "";
  return runs[number].name.empty() ? fmt::format("run {}", number + 1) : runs[number].name;
}

std::string joined(const std::string& run, const std::string& what) {
  if (run.empty() || what.empty()) return run + what;
  return run + " " + what;
}

// What does not count of the first run, where there is but one.
Points left_out(const std::vector<PageRun>& runs) {
  if (runs.size() != 1) return {};
  const Repeat& repeat = first_of(runs.front().record);
  return {{0, repeat.window.begin}, {repeat.window.end, repeat.seconds}};
}

std::string throughput_figure(const std::vector<PageRun>& runs) {
  LineChart chart;
  chart.title = "Questions answered a second";
  chart.x_title = "seconds since the beginning";
  chart.shaded = left_out(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Repeat& repeat = first_of(runs[i].record);
    chart.series.push_back(
        {name_of(runs, i), throughput_over_time(repeat, bins_of(repeat)), runs.size() == 1});
  }
  return drawing_of([&](const Canvas& canvas) { return draw(chart, canvas); });
}

std::string latency_figure(const std::vector<PageRun>& runs) {
  LineChart chart;
  chart.title = "Latency over time";
  chart.x_title = "due, in seconds since the beginning";
  chart.y_title = "ms";
  chart.shaded = left_out(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Repeat& repeat = first_of(runs[i].record);
    const std::string name = name_of(runs, i);
    if (runs.size() == 1) {
      chart.series.push_back(
          {joined(name, "p50"), latency_over_time(repeat, bins_of(repeat), 0.5)});
    }
    chart.series.push_back({joined(name, "p99"), latency_over_time(repeat, bins_of(repeat), 0.99)});
  }
  return drawing_of([&](const Canvas& canvas) { return draw(chart, canvas); });
}

std::string histogram_figure(const std::vector<PageRun>& runs) {
  LineChart chart;
  chart.title = "Latency of whole answers";
  chart.x_title = "ms";
  chart.y_title = "% of answers";
  chart.x_logarithmic = true;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    chart.series.push_back(
        {name_of(runs, i), latency_histogram(runs[i].record, kHistogramBins), runs.size() == 1});
  }
  if (runs.size() == 1) {
    const Summary summary = summarise(runs.front().record);
    const Distribution& e2el = summary[Latency::kE2el];
    for (const char* word : {"p50", "p90", "p99"}) {
      if (e2el.count > 0) chart.markers.push_back({1e3 * *figure_of(e2el, word), word});
    }
  }
  return drawing_of([&](const Canvas& canvas) { return draw(chart, canvas); });
}

// "2", "3–4", "> 256".
std::string range_words(double least, double most) {
  if (std::isinf(most)) return fmt::format("> {:g}", least - 1);
  return least == most ? fmt::format("{:g}", most) : fmt::format("{:g}–{:g}", least, most);
}

BarChart fill_bars(const std::vector<PageRun>& runs) {
  BarChart chart;
  chart.title = "Prompts of a batch";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto counts = counts_of(runs[i].record);
    if (!counts || counts->batches <= 0) continue;
    double least = 1;
    for (const FillBucket& bucket : counts->fill) {
      const double from = std::exchange(least, bucket.most + 1);
      if (bucket.count <= 0) continue;
      chart.bars.push_back({joined(name_of(runs, i), range_words(from, bucket.most)), bucket.count,
                            fmt::format("{:.0f} batches", bucket.count), i});
    }
  }
  return chart;
}

BarChart reason_bars(const std::vector<PageRun>& runs) {
  BarChart chart;
  chart.title = "Why batches left";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto counts = counts_of(runs[i].record);
    if (!counts) continue;
    for (const auto& [reason, count] : counts->flushes) {
      if (count <= 0) continue;
      chart.bars.push_back(
          {joined(name_of(runs, i), reason), count, fmt::format("{:.0f}", count), i});
    }
  }
  return chart;
}

BarChart share_bars(const std::vector<PageRun>& runs) {
  BarChart chart;
  chart.title = "Answers by engine";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [backend, share] : summarise(runs[i].record).share) {
      if (chart.bars.size() == kMostBars) break;
      chart.bars.push_back(
          {joined(name_of(runs, i), backend), share, fmt::format("{:.1f} %", 100 * share), i});
    }
  }
  return chart;
}

std::string bars_figure(const BarChart& chart) {
  if (chart.bars.empty()) return "";
  return drawing_of([&](const Canvas& canvas) { return draw(chart, canvas.width); });
}

std::vector<Tile> tiles_of_run(const Record& record) {
  const Summary summary = summarise(record);
  const Distribution& e2el = summary[Latency::kE2el];
  std::vector<Tile> tiles{{fmt::format("{:.1f}", summary.per_second), "questions a second"},
                          {time_words(e2el.median()), "p50 of whole answers"},
                          {time_words(*figure_of(e2el, "p99")), "p99"},
                          {fmt::format("{}/{}", summary.answered, summary.asked), "answered"}};
  if (summary[Latency::kTtft].count > 0) {
    tiles.push_back({time_words(summary[Latency::kTtft].median()), "p50 of the first token"});
  }
  if (summary.output_tokens > 0) {
    tiles.push_back(
        {fmt::format("{:.0f}", summary.rate(summary.output_tokens)), "answer tokens a second"});
  }
  if (summary.good)
    tiles.push_back({fmt::format("{:.1f}", *summary.good), "good answers a second"});
  if (summary.marked > 0) {
    tiles.push_back({fmt::format("{:.1f} %", 100.0 * static_cast<double>(summary.right) /
                                                 static_cast<double>(summary.marked)),
                     "accuracy as scored"});
  }
  if (const auto counts = counts_of(record)) {
    if (const auto fill = counts->mean_fill()) {
      tiles.push_back({fmt::format("{:.1f}", *fill), "prompts of a mean batch"});
    }
    if (const auto share = counts->prefix_share()) {
      tiles.push_back(
          {fmt::format("{:.0f} %", 100 * *share), "of prompt tokens found in prefix caches"});
    }
  }
  return tiles;
}

std::string latency_table(const std::vector<PageRun>& runs) {
  std::vector<std::vector<std::string>> rows{{"latency", "mean"}};
  for (const QuantileRow& quantile : kQuantiles) rows[0].emplace_back(quantile.word);
  rows[0].emplace_back("max");
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Summary summary = summarise(runs[i].record);
    for (const LatencyRow& row : kLatencies) {
      const Distribution& distribution = summary[row.id];
      if (distribution.count == 0) continue;
      std::vector<std::string> cells{joined(name_of(runs, i), std::string(row.title)),
                                     time_words(distribution.mean)};
      for (const double value : distribution.quantiles) cells.push_back(time_words(value));
      cells.push_back(time_words(distribution.most));
      rows.push_back(std::move(cells));
    }
  }
  return table_of(rows);
}

std::string failures_table(const std::vector<PageRun>& runs) {
  std::vector<std::vector<std::string>> rows{{"failed", "how many", "an example"}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [problem, failure] : summarise(runs[i].record).failures) {
      rows.push_back(
          {joined(name_of(runs, i), problem), std::to_string(failure.count), failure.example});
    }
  }
  return rows.size() == 1 ? "" : section_of("What failed", table_of(rows));
}

std::string facts_table(const std::vector<PageRun>& runs) {
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::string rows;
    for (const auto& [name, value] : runs[i].record.facts) {
      rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
    }
    const std::string name = name_of(runs, i);
    html += section_of(name.empty() ? "How it was measured" : "How it was measured: " + name,
                       "<table class=\"facts\">" + rows + "</table>\n");
  }
  return html;
}

std::string comparison_of(const std::vector<PageRun>& runs) {
  if (runs.size() != 2) return "";
  return section_of(
      "The second beside the first",
      "<pre>" + escaped(to_text(compare(runs[0].record, runs[1].record))) + "</pre>\n");
}

std::string title_of(const std::vector<PageRun>& runs) {
  const bool simulated =
      std::ranges::any_of(runs, [](const PageRun& run) { return is_simulated(run.record); });
  const std::string model = runs.empty() ? "" : runs.front().record.model;
  return fmt::format("{}{}", simulated ? "Simulated engines: " : "", model);
}

std::string subtitle_of(const std::vector<PageRun>& runs) {
  if (runs.size() != 1) return fmt::format("{} load runs side by side", runs.size());
  const Record& record = runs.front().record;
  std::string text = record.load;
  if (record.repeats.size() > 1) {
    text +=
        fmt::format("; {} repeats, of which the first is drawn over time", record.repeats.size());
  }
  if (!record.ended_early.empty()) text += "; cut short: " + record.ended_early;
  return text;
}

// Where a moment lies among `bins` equal parts of the time until `seconds`.
std::size_t bin_of(double moment, double seconds, std::size_t bins) {
  const double at = moment / std::max(seconds, 1e-9) * static_cast<double>(bins);
  return std::min(static_cast<std::size_t>(std::max(at, 0.0)), bins - 1);
}

double middle_of(std::size_t bin, double seconds, std::size_t bins) {
  return seconds * (static_cast<double>(bin) + 0.5) / static_cast<double>(bins);
}

}  // namespace

Points throughput_over_time(const Repeat& repeat, std::size_t bins) {
  std::vector<double> counts(bins, 0);
  for (const RequestResult& result : repeat.requests) {
    if (result.answered()) ++counts[bin_of(result.end, repeat.seconds, bins)];
  }
  const double length = std::max(repeat.seconds, 1e-9) / static_cast<double>(bins);
  Points points;
  for (std::size_t i = 0; i < bins; ++i) {
    points.emplace_back(middle_of(i, repeat.seconds, bins), counts[i] / length);
  }
  return points;
}

Points latency_over_time(const Repeat& repeat, std::size_t bins, double q) {
  std::vector<std::vector<double>> latencies(bins);
  for (const RequestResult& result : repeat.requests) {
    if (result.answered()) {
      latencies[bin_of(result.due, repeat.seconds, bins)].push_back(1e3 * result.e2el());
    }
  }
  Points points;
  for (std::size_t i = 0; i < bins; ++i) {
    if (latencies[i].empty()) continue;
    std::ranges::sort(latencies[i]);
    points.emplace_back(middle_of(i, repeat.seconds, bins), quantile(latencies[i], q));
  }
  return points;
}

Points latency_histogram(const Record& record, std::size_t bins) {
  std::vector<double> latencies;
  for (const Repeat& repeat : record.repeats) {
    for (const RequestResult& result : repeat.requests) {
      if (result.answered() && repeat.window.has(result.due)) {
        latencies.push_back(std::max(1e3 * result.e2el(), 1e-3));
      }
    }
  }
  if (latencies.empty()) return {};
  const auto [least, most] = std::ranges::minmax(latencies);
  // All alike are still drawn as a hill.
  const double begin = std::log10(least) - 0.01;
  const double end = std::log10(most) + 0.01;
  std::vector<double> counts(bins, 0);
  for (const double latency : latencies)
    ++counts[bin_of(std::log10(latency) - begin, end - begin, bins)];
  Points points;
  for (std::size_t i = 0; i < bins; ++i) {
    points.emplace_back(std::pow(10, begin + middle_of(i, end - begin, bins)),
                        100 * counts[i] / static_cast<double>(latencies.size()));
  }
  return points;
}

std::string report_page(const std::vector<PageRun>& runs) {
  std::string content;
  if (runs.size() == 1) content += tiles_of(tiles_of_run(runs.front().record));
  content += comparison_of(runs);
  content += "<div class=\"charts\">\n" + throughput_figure(runs) + latency_figure(runs) +
             histogram_figure(runs) + bars_figure(share_bars(runs)) + bars_figure(fill_bars(runs)) +
             bars_figure(reason_bars(runs)) + "</div>\n";
  content += section_of("Latency", latency_table(runs)) + failures_table(runs) + facts_table(runs);
  return page_of(title_of(runs), subtitle_of(runs), content);
}

}  // namespace batchproxy::bench
