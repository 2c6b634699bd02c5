// bench/sweep/sweep_log.cc - see sweep_log.h.
#include "bench/sweep/sweep_log.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/format.h>

#include "bench/results/comparison.h"
#include "bench/results/statistics.h"
#include "bench/results/text.h"
#include "configs/text/columns.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

constexpr double kFewFailures = 0.01;
constexpr std::size_t kEnoughRepeats = 4;
constexpr double kLevel = 0.05;
constexpr double kClose = 0.02;

json::value or_null(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

std::optional<double> optional_at(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains(name);
  if (found == nullptr || found->is_null()) return std::nullopt;
  return json::value_to<double>(*found);
}

SweepPoint read_point(const json::object& object) {
  SweepPoint point;
  point.setting.workers = json::value_to<std::size_t>(object.at("workers"));
  point.setting.flush = json::value_to<std::string>(object.at("flush"));
  point.setting.merge = json::value_to<std::string>(object.at("merge"));
  point.setting.batch_size = json::value_to<int>(object.at("batch_size"));
  point.setting.batch_timeout = json::value_to<double>(object.at("batch_timeout"));
  point.repeat = json::value_to<std::size_t>(object.at("repeat"));
  point.per_second = json::value_to<double>(object.at("questions_per_second"));
  point.p50 = json::value_to<double>(object.at("p50_seconds"));
  point.p99 = json::value_to<double>(object.at("p99_seconds"));
  point.failed = json::value_to<double>(object.at("failed"));
  point.fill = optional_at(object, "batch_fill");
  point.prefix_share = optional_at(object, "prefix_hits");
  return point;
}

void read_head(const json::object& object, SweepLog& log) {
  log.subject = json::value_to<std::string>(object.at("sweep_of"));
  for (const auto& [name, value] : object.at("facts").as_object()) {
    log.facts.emplace_back(name, json::value_to<std::string>(value));
  }
}

double mean_of(const std::vector<const SweepPoint*>& points, double SweepPoint::* figure) {
  double sum = 0;
  for (const SweepPoint* point : points) sum += point->*figure;
  return sum / static_cast<double>(points.size());
}

std::optional<double> mean_of(const std::vector<const SweepPoint*>& points,
                              std::optional<double> SweepPoint::* figure) {
  double sum = 0;
  std::size_t count = 0;
  for (const SweepPoint* point : points) {
    if (!(point->*figure)) continue;
    sum += *(point->*figure);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

SweepRow row_of(const std::vector<const SweepPoint*>& points) {
  SweepRow row;
  row.setting = points.front()->setting;
  for (const SweepPoint* point : points) row.per_second.push_back(point->per_second);
  const Distribution spread = distribution_of(row.per_second);
  row.mean = spread.mean;
  row.deviation = spread.deviation;
  row.p50 = mean_of(points, &SweepPoint::p50);
  row.p99 = mean_of(points, &SweepPoint::p99);
  row.failed = mean_of(points, &SweepPoint::failed);
  row.fill = mean_of(points, &SweepPoint::fill);
  row.prefix_share = mean_of(points, &SweepPoint::prefix_share);
  return row;
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t has = columns_of(text);
  return text + std::string(width > has ? width - has : 1, ' ');
}

std::string line_of(const SweepRow& row, std::size_t width, bool is_best) {
  return fmt::format("{}{}{:>8}{:>9.1f}{:>8}{:>10}{:>10}{:>8}{:>8}{:>9}\n", is_best ? "* " : "  ",
                     padded(words_of(row.setting), width), row.setting.workers, row.mean,
                     row.per_second.size() > 1 ? fmt::format("±{:.1f}", row.deviation) : "",
                     time_words(row.p50), time_words(row.p99),
                     row.fill ? fmt::format("{:.1f}", *row.fill) : "",
                     row.prefix_share ? fmt::format("{:.0f} %", 100 * *row.prefix_share) : "",
                     row.failed > 0 ? fmt::format("{:.1f} %", 100 * row.failed) : "");
}

}  // namespace

SweepPoint point_of(const Setting& setting, std::size_t repeat, const Summary& summary,
                    const std::optional<FleetCounts>& counts) {
  SweepPoint point;
  point.setting = setting;
  point.repeat = repeat;
  point.per_second = summary.per_second;
  point.p50 = summary[Latency::kE2el].median();
  point.p99 = *figure_of(summary[Latency::kE2el], "p99");
  point.failed = summary.asked == 0
                     ? 1
                     : static_cast<double>(summary.failed()) / static_cast<double>(summary.asked);
  if (counts) {
    point.fill = counts->mean_fill();
    point.prefix_share = counts->prefix_share();
  }
  return point;
}

bool SweepLog::has(const Setting& setting, std::size_t repeat) const {
  return std::ranges::any_of(points, [&](const SweepPoint& point) {
    return point.setting == setting && point.repeat == repeat;
  });
}

std::string head_line(const SweepLog& log) {
  json::object facts;
  for (const auto& [name, value] : log.facts) facts[name] = value;
  return json::serialize(json::object{{"sweep_of", log.subject}, {"facts", std::move(facts)}}) +
         "\n";
}

std::string to_line(const SweepPoint& point) {
  const Setting& setting = point.setting;
  return json::serialize(json::object{{"workers", setting.workers},
                                      {"flush", setting.flush},
                                      {"merge", setting.merge},
                                      {"batch_size", setting.batch_size},
                                      {"batch_timeout", setting.batch_timeout},
                                      {"repeat", point.repeat},
                                      {"questions_per_second", point.per_second},
                                      {"p50_seconds", point.p50},
                                      {"p99_seconds", point.p99},
                                      {"failed", point.failed},
                                      {"batch_fill", or_null(point.fill)},
                                      {"prefix_hits", or_null(point.prefix_share)}}) +
         "\n";
}

SweepLog read_sweep(const std::string& text, const std::string& file) {
  SweepLog log;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    ++number;
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) break;  // cut off as it was written
    try {
      const json::object object = json::parse(text.substr(at, end - at)).as_object();
      if (number == 1) {
        read_head(object, log);
      } else {
        log.points.push_back(read_point(object));
      }
    } catch (const std::exception&) {
      throw std::runtime_error(fmt::format(
          "{}:{}: this is no line of a sweep: name another file with --out", file, number));
    }
    at = end + 1;
    log.bytes = at;
  }
  return log;
}

std::vector<SweepRow> rows_of(const SweepLog& log) {
  std::vector<std::vector<const SweepPoint*>> groups;
  for (const SweepPoint& point : log.points) {
    const auto found = std::ranges::find_if(
        groups, [&](const auto& group) { return group.front()->setting == point.setting; });
    if (found == groups.end()) {
      groups.push_back({&point});
    } else {
      found->push_back(&point);
    }
  }
  std::vector<SweepRow> rows;
  for (const auto& group : groups) rows.push_back(row_of(group));
  return rows;
}

const SweepRow* best_of(const std::vector<SweepRow>& rows) {
  const SweepRow* best = nullptr;
  const auto is_sound = [](const SweepRow& row) { return row.failed <= kFewFailures; };
  for (const SweepRow& row : rows) {
    const bool better = best == nullptr || (is_sound(row) && !is_sound(*best)) ||
                        (is_sound(row) == is_sound(*best) && row.mean > best->mean);
    if (better) best = &row;
  }
  return best;
}

std::vector<const SweepRow*> as_good_as(const SweepRow& best, const std::vector<SweepRow>& rows) {
  std::vector<const SweepRow*> good;
  for (const SweepRow& row : rows) {
    if (&row == &best || row.failed > std::max(kFewFailures, best.failed)) continue;
    const bool enough = std::min(row.per_second.size(), best.per_second.size()) >= kEnoughRepeats;
    const bool alike = enough ? permutation_p(row.per_second, best.per_second) >= kLevel
                              : row.mean >= best.mean * (1 - kClose);
    if (alike) good.push_back(&row);
  }
  return good;
}

std::string to_text(const SweepLog& log) {
  const std::vector<SweepRow> rows = rows_of(log);
  const SweepRow* best = best_of(rows);
  if (best == nullptr) return "nothing was measured\n";
  std::size_t width = 10;
  for (const SweepRow& row : rows) width = std::max(width, columns_of(words_of(row.setting)) + 2);
  std::string text =
      fmt::format("  {}{:>8}{:>9}{:>8}{:>10}{:>10}{:>8}{:>8}{:>9}\n", padded("setting", width),
                  "workers", "q/s", "", "p50", "p99", "fill", "hits", "failed");
  for (const SweepRow& row : rows) text += line_of(row, width, &row == best);
  text += fmt::format("\n* the most questions a second: {} with {} workers\n",
                      words_of(best->setting), best->setting.workers);
  const auto alike = as_good_as(*best, rows);
  if (!alike.empty()) {
    text += "  as good, as far as this sweep can tell:\n";
    for (const SweepRow* row : alike) {
      text += fmt::format("    {} with {} workers\n", words_of(row->setting), row->setting.workers);
    }
  }
  return text + "\n" + yaml_of(best->setting);
}

}  // namespace batchproxy::bench
