// bench/load/report.cc - see report.h.
#include "bench/load/report.h"

#include <algorithm>
#include <cmath>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

namespace batchproxy::bench {

namespace json = boost::json;

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Report summarise(const std::vector<Question>& questions, const LoadResult& result) {
  Report report;
  report.asked = result.outcomes.size();
  report.seconds = result.seconds;
  std::vector<double> latencies;
  for (const Outcome& outcome : result.outcomes) {
    if (outcome.status != 200) {
      ++report.failures[outcome.status];
      continue;
    }
    ++report.answered;
    latencies.push_back(outcome.seconds);
    report.share[outcome.backend.empty() ? "direct" : outcome.backend] += 1;
    const Question& question = questions[outcome.question];
    const char letter = chosen_letter(outcome.answer, question.options.size());
    if (question.label == std::string(1, letter)) ++report.correct;
  }
  for (auto& [backend, count] : report.share) count /= static_cast<double>(report.answered);
  std::sort(latencies.begin(), latencies.end());
  report.p50 = quantile(latencies, 0.50);
  report.p99 = quantile(latencies, 0.99);
  report.per_second = static_cast<double>(report.answered) / std::max(report.seconds, 1e-9);
  return report;
}

std::string to_text(const Report& report) {
  std::string text = fmt::format(
      "answered    {}/{}\naccuracy    {:.1f} % as scored\nquestions/s {:.1f}\n"
      "latency     p50 {:.0f} ms, p99 {:.0f} ms\n",
      report.answered, report.asked,
      100.0 * static_cast<double>(report.correct) /
          static_cast<double>(std::max<std::size_t>(report.answered, 1)),
      report.per_second, 1e3 * report.p50, 1e3 * report.p99);
  text += "share      ";
  for (const auto& [backend, share] : report.share) {
    text += fmt::format(" {} {:.0f} %", backend, 100 * share);
  }
  text += '\n';
  if (report.prefix_hits) {
    text += fmt::format("prefix hits {:.0f} % of prompt tokens\n", 100 * *report.prefix_hits);
  }
  for (const auto& [status, count] : report.failures) {
    text += status == 0 ? fmt::format("no answer   {}\n", count)
                        : fmt::format("status {}  {}\n", status, count);
  }
  return text;
}

std::string to_json(const Report& report) {
  json::object share, failures;
  for (const auto& [backend, fraction] : report.share) share[backend] = fraction;
  for (const auto& [status, count] : report.failures) failures[std::to_string(status)] = count;
  json::object figures{{"asked", report.asked},           {"answered", report.answered},
                       {"correct", report.correct},       {"seconds", report.seconds},
                       {"per_second", report.per_second}, {"p50_seconds", report.p50},
                       {"p99_seconds", report.p99},       {"share", std::move(share)},
                       {"failures", std::move(failures)}};
  if (report.prefix_hits) figures["prefix_hits"] = *report.prefix_hits;
  return json::serialize(figures);
}

std::string answers_to_jsonl(const LoadResult& result) {
  std::string lines;
  for (const Outcome& outcome : result.outcomes) {
    lines += json::serialize(json::object{{"question", outcome.question},
                                          {"status", outcome.status},
                                          {"answer", outcome.answer}}) +
             "\n";
  }
  return lines;
}

}  // namespace batchproxy::bench
