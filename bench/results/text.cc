// bench/results/text.cc - see text.h.
#include "bench/results/text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

constexpr double kBusy = 0.8;                 // of a core
constexpr std::size_t kLongestExample = 300;  // bytes

double percent_of(std::size_t part, std::size_t all) {
  return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

std::string line(std::string_view name, const std::string& value) {
  return fmt::format("{:<11} {}\n", name, value);
}

std::string facts_of(const Record& record) {
  std::string text;
  for (const auto& [name, value] : record.facts) text += line(name, printable(value));
  return text;
}

std::string outcome_of(const Record& record, const Summary& summary) {
  std::string text = line("answered", fmt::format("{}/{}", summary.answered, summary.asked));
  if (summary.left_out > 0) {
    text += line("left out", fmt::format("{} requests of warm-up and cool-down", summary.left_out));
  }
  if (!record.ended_early.empty()) text += line("cut short", record.ended_early);
  if (summary.marked > 0) {
    text += line("accuracy", fmt::format("{:.1f} % as scored ({} of {} right)",
                                         percent_of(summary.right, summary.marked), summary.right,
                                         summary.marked));
  }
  if (summary.ids_checked > 0) {
    text +=
        line("ids", summary.ids_wrong == 0
                        ? fmt::format("{} answers, each to its own request", summary.ids_checked)
                        : fmt::format("{} of {} answers are to ANOTHER request", summary.ids_wrong,
                                      summary.ids_checked));
  }
  text +=
      line("questions/s", fmt::format("{:.1f} over {:.1f} s", summary.per_second, summary.seconds));
  if (summary.prompt_tokens + summary.output_tokens > 0) {
    text += line("tokens/s", fmt::format("{:.0f} of prompts, {:.0f} of answers",
                                         summary.rate(summary.prompt_tokens),
                                         summary.rate(summary.output_tokens)));
  }
  if (summary.good) {
    std::string wanted;
    for (const Objective& objective : record.objectives) {
      wanted += fmt::format("{}{} ≤ {}", wanted.empty() ? "" : ", ",
                            kLatencies[objective.latency].word, time_words(objective.seconds));
    }
    text += line("goodput", fmt::format("{:.1f}/s with {}", *summary.good, wanted));
  }
  return text;
}

std::string latencies_of(const Summary& summary) {
  std::string text = fmt::format("{:<42}{:>9}", "latency", "mean");
  for (const QuantileRow& row : kQuantiles) text += fmt::format("{:>9}", row.word);
  text += fmt::format("{:>9}\n", "max");
  for (const LatencyRow& row : kLatencies) {
    const Distribution& distribution = summary[row.id];
    if (distribution.count == 0) continue;
    text += fmt::format("  {:<5}{:<35}{:>9}", row.word, row.title, time_words(distribution.mean));
    for (const double value : distribution.quantiles)
      text += fmt::format("{:>9}", time_words(value));
    text += fmt::format("{:>9}\n", time_words(distribution.most));
  }
  return text;
}

std::string shares_of(const Summary& summary) {
  std::string shares;
  for (const auto& [backend, share] : summary.share) {
    shares +=
        fmt::format("{}{} {:.0f} %", shares.empty() ? "" : ", ", printable(backend), 100 * share);
  }
  return shares.empty() ? "" : line("share", shares);
}

std::string batches_of(const FleetCounts& counts) {
  std::string text;
  if (const auto fill = counts.mean_fill()) {
    std::string reasons;
    for (const auto& [reason, count] : counts.flushes) {
      if (count <= 0) continue;
      reasons += fmt::format("{}{} {:.0f}", reasons.empty() ? "; left: " : ", ", reason, count);
    }
    text +=
        line("batches", fmt::format("{:.0f} of {:.1f} prompts{}", counts.batches, *fill, reasons));
  }
  if (counts.merged_calls > 0) {
    text += line("shared", fmt::format("{:.0f} requests in {:.0f} calls", counts.merged_requests,
                                       counts.merged_calls));
  }
  if (const auto share = counts.prefix_share()) {
    text += line("prefix hits", fmt::format("{:.0f} % of prompt tokens", 100 * *share));
  }
  return text;
}

std::string own_cost_of(const Record& record) {
  std::size_t requests = 0;
  double seconds = 0;
  for (const Repeat& repeat : record.repeats) {
    requests += repeat.requests.size();
    seconds += repeat.seconds;
  }
  if (requests == 0 || seconds <= 0) return "";
  const double cpu = client_cpu_of(record);
  std::string text =
      line("client", fmt::format("{:.0f} µs of CPU a request, {:.0f} % of a core",
                                 1e6 * cpu / static_cast<double>(requests), 100 * cpu / seconds));
  if (client_was_busy(record)) {
    text +=
        "warning: this program itself took most of a core: the figures may be its own, not the "
        "server's\n";
  }
  return text;
}

std::string failures_of(const Summary& summary) {
  std::string text;
  for (const auto& [problem, failure] : summary.failures) {
    text += line("failed", fmt::format("{} × {}: {}", failure.count, printable(problem),
                                       printable(failure.example.substr(0, kLongestExample))));
  }
  return text;
}

}  // namespace

std::string time_words(double seconds) {
  if (seconds >= 99.95) return fmt::format("{:.0f} s", seconds);
  if (seconds >= 9.995) return fmt::format("{:.1f} s", seconds);
  if (seconds >= 0.9995) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 0.0995) return fmt::format("{:.0f} ms", 1e3 * seconds);
  if (seconds >= 0.00995) return fmt::format("{:.1f} ms", 1e3 * seconds);
  return fmt::format("{:.2f} ms", 1e3 * seconds);
}

bool client_was_busy(const Record& record) {
  double seconds = 0;
  for (const Repeat& repeat : record.repeats) seconds += repeat.seconds;
  return client_cpu_of(record) > kBusy * seconds;
}

std::string failures_in_short(const Summary& summary) {
  std::string text = fmt::format("{} of {} failed", summary.failed(), summary.asked);
  bool first = true;
  for (const auto& [problem, failure] : summary.failures) {
    text += fmt::format("{}{} × {}", first ? ": " : ", ", failure.count, printable(problem));
    first = false;
  }
  return text;
}

std::string to_text(const Record& record) {
  const Summary summary = summarise(record);
  std::string text = facts_of(record) + "\n" + outcome_of(record, summary) + latencies_of(summary) +
                     shares_of(summary);
  if (const auto counts = counts_of(record)) text += batches_of(*counts);
  return text + own_cost_of(record) + failures_of(summary);
}

}  // namespace batchproxy::bench
