// bench/results/threshold.cc - see threshold.h.
#include "bench/results/threshold.h"

#include <array>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "configs/text/nearest_name.h"
#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy::bench {

namespace {

double share_of(std::size_t part, std::size_t all) {
  return static_cast<double>(part) / static_cast<double>(all);
}

// The figures that are no latencies.
struct PlainFigure {
  std::string_view word;
  bool is_share;
  std::optional<double> (*value)(const Summary&);
};
constexpr std::array kPlainFigures{
    PlainFigure{"questions_per_second", false,
                [](const Summary& summary) -> std::optional<double> { return summary.per_second; }},
    PlainFigure{"tokens_per_second", false,
                [](const Summary& summary) -> std::optional<double> {
                  return summary.rate(summary.output_tokens);
                }},
    PlainFigure{"goodput", false, [](const Summary& summary) { return summary.good; }},
    PlainFigure{"failed", true,
                [](const Summary& summary) -> std::optional<double> {
                  if (summary.asked == 0) return std::nullopt;
                  return share_of(summary.failed(), summary.asked);
                }},
    PlainFigure{"accuracy", true,
                [](const Summary& summary) -> std::optional<double> {
                  if (summary.marked == 0) return std::nullopt;
                  return share_of(summary.right, summary.marked);
                }},
};

const PlainFigure* plain_figure(std::string_view word) {
  for (const PlainFigure& figure : kPlainFigures) {
    if (figure.word == word) return &figure;
  }
  return nullptr;
}

struct LatencyFigure {
  Latency latency{};
  std::string_view word{};  // "p99"
};
std::optional<LatencyFigure> latency_figure(std::string_view figure) {
  const std::size_t dot = figure.find('.');
  const auto latency = latency_of(figure.substr(0, dot));
  if (!latency || dot == std::string_view::npos) return std::nullopt;
  const std::string_view word = figure.substr(dot + 1);
  if (figure_of(Distribution{}, word) == nullptr) return std::nullopt;
  return LatencyFigure{*latency, word};
}

[[noreturn]] void refuse(const std::string& text, std::string_view figure) {
  std::vector<std::string_view> names;
  std::string words;
  for (const PlainFigure& known : kPlainFigures) {
    names.push_back(known.word);
    words.append(known.word).append(", ");
  }
  throw std::runtime_error(
      fmt::format("--threshold '{}': no figure '{}'{}. There are {}and ttft, tpot, itl and e2el "
                  "with a dot and one of {}",
                  text, figure, suggestion(figure, names), words, figure_words()));
}

[[noreturn]] void refuse_form(const std::string& text) {
  throw std::runtime_error(
      fmt::format("--threshold '{}': write FIGURE<BOUND or FIGURE>BOUND, such as 'e2el.p99<2s', "
                  "'failed<1%' or 'questions_per_second>50'",
                  text));
}

// "2s", "300ms", "1%", "50".
std::optional<double> bound_in(std::string_view text) {
  struct Unit {
    std::string_view word;
    double factor;
  };
  static constexpr std::array kUnits{Unit{"ms", 1e-3}, Unit{"s", 1}, Unit{"%", 1e-2}};
  double factor = 1;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.word)) continue;
    text.remove_suffix(unit.word.size());
    factor = unit.factor;
    break;
  }
  const auto number = number_in<double>(trim(text));
  if (!number) return std::nullopt;
  return *number * factor;
}

std::optional<double> value_of(const Threshold& threshold, const Summary& summary) {
  if (const PlainFigure* plain = plain_figure(threshold.figure)) return plain->value(summary);
  const auto figure = latency_figure(threshold.figure);
  if (!figure) return std::nullopt;
  const Distribution& distribution = summary[figure->latency];
  if (distribution.count == 0) return std::nullopt;
  return *figure_of(distribution, figure->word);
}

std::string show(const Threshold& threshold, double value) {
  const PlainFigure* plain = plain_figure(threshold.figure);
  if (plain != nullptr && plain->is_share) return fmt::format("{:.2f} %", 100 * value);
  if (plain != nullptr) return fmt::format("{:.1f}", value);
  return value < 1 ? fmt::format("{:.1f} ms", 1e3 * value) : fmt::format("{:.2f} s", value);
}

bool holds(const Threshold& threshold, double value) {
  if (threshold.or_equal && value == threshold.bound) return true;
  return threshold.at_most ? value < threshold.bound : value > threshold.bound;
}

}  // namespace

Threshold parse_threshold(const std::string& text) {
  const std::size_t sign = text.find_first_of("<>");
  if (sign == std::string::npos) refuse_form(text);
  Threshold threshold;
  threshold.text = text;
  threshold.figure = trim(std::string_view(text).substr(0, sign));
  threshold.at_most = text[sign] == '<';
  threshold.or_equal = sign + 1 < text.size() && text[sign + 1] == '=';
  const auto bound =
      bound_in(trim(std::string_view(text).substr(sign + (threshold.or_equal ? 2 : 1))));
  if (!bound) refuse_form(text);
  threshold.bound = *bound;
  if (plain_figure(threshold.figure) == nullptr && !latency_figure(threshold.figure)) {
    refuse(text, threshold.figure);
  }
  return threshold;
}

std::vector<Verdict> judge(std::span<const Threshold> thresholds, const Summary& summary) {
  std::vector<Verdict> verdicts;
  for (const Threshold& threshold : thresholds) {
    Verdict verdict;
    verdict.text = threshold.text;
    verdict.value = value_of(threshold, summary);
    verdict.kept = verdict.value && holds(threshold, *verdict.value);
    verdict.shown = verdict.value ? show(threshold, *verdict.value) : "this run has no such figure";
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

std::string to_text(std::span<const Verdict> verdicts) {
  std::string text;
  for (const Verdict& verdict : verdicts) {
    text += fmt::format("{} {} ({})\n", verdict.kept ? "✓" : "✗", verdict.text, verdict.shown);
  }
  return text;
}

}  // namespace batchproxy::bench
