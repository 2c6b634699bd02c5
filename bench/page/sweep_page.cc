// bench/page/sweep_page.cc - see sweep_page.h.
#include "bench/page/sweep_page.h"

#include <algorithm>
#include <functional>
#include <vector>

#include <fmt/format.h>

#include "bench/page/chart.h"
#include "bench/page/page.h"
#include "bench/results/text.h"

namespace batchproxy::bench {

namespace {

using Figure = double (*)(const SweepRow&);

double questions_per_second(const SweepRow& row) {
  return row.mean;
}
double p99_ms(const SweepRow& row) {
  return 1e3 * row.p99;
}

// The place of `value` in a list that gets it if it is new.
template <class Value>
std::size_t place_in(std::vector<Value>& list, const Value& value) {
  const auto found = std::ranges::find(list, value);
  if (found != list.end()) return static_cast<std::size_t>(found - list.begin());
  list.push_back(value);
  return list.size() - 1;
}

// Cells by two names of each row; the order is that of first appearance.
HeatMap map_of(const std::vector<const SweepRow*>& rows, Figure figure,
               const std::function<std::string(const SweepRow&)>& row_name,
               const std::function<std::string(const SweepRow&)>& column_name) {
  HeatMap map;
  for (const SweepRow* row : rows) {
    place_in(map.rows, row_name(*row));
    place_in(map.columns, column_name(*row));
  }
  map.cells.assign(map.rows.size(), std::vector<std::optional<double>>(map.columns.size()));
  for (const SweepRow* row : rows) {
    map.cells[place_in(map.rows, row_name(*row))][place_in(map.columns, column_name(*row))] =
        figure(*row);
  }
  return map;
}

std::string drawn(const HeatMap& map) {
  return drawing_of([&](const Canvas& canvas) { return draw(map, canvas.width); });
}

std::string maps_by_workers(const std::vector<const SweepRow*>& rows) {
  const auto setting = [](const SweepRow& row) { return words_of(row.setting); };
  const auto workers = [](const SweepRow& row) { return std::to_string(row.setting.workers); };
  HeatMap rate = map_of(rows, &questions_per_second, setting, workers);
  rate.title = "Questions a second";
  HeatMap latency = map_of(rows, &p99_ms, setting, workers);
  latency.title = "p99 of whole answers, ms";
  latency.more_is_better = false;
  rate.x_title = latency.x_title = "workers";
  return drawn(rate) + drawn(latency);
}

// Sizes by time-outs, of each policy where they matter, at the workers of the best.
std::string maps_by_batch(const std::vector<SweepRow>& all, const SweepRow& best) {
  std::string html;
  std::vector<std::string> policies;
  const auto policy = [](const SweepRow& row) {
    return fmt::format("{}, merge {}", row.setting.flush, row.setting.merge);
  };
  for (const SweepRow& row : all) {
    if (goes_by_batches(row.setting)) place_in(policies, policy(row));
  }
  for (const std::string& name : policies) {
    std::vector<const SweepRow*> rows;
    for (const SweepRow& row : all) {
      const bool here = row.setting.workers == best.setting.workers && policy(row) == name;
      if (here && goes_by_batches(row.setting)) rows.push_back(&row);
    }
    if (rows.size() < 2) continue;
    HeatMap map = map_of(
        rows, &questions_per_second,
        [](const SweepRow& row) { return fmt::format("{:g} s", row.setting.batch_timeout); },
        [](const SweepRow& row) { return std::to_string(row.setting.batch_size); });
    map.title = fmt::format("{}, {} workers: q/s", name, best.setting.workers);
    map.x_title = "batch_size";
    map.y_title = "batch_timeout";
    html += drawn(map);
  }
  return html;
}

std::string table_of_rows(const std::vector<SweepRow>& rows, const SweepRow& best) {
  std::vector<std::vector<std::string>> cells{
      {"setting", "workers", "q/s", "±", "p50", "p99", "fill", "prefix hits", "failed"}};
  for (const SweepRow& row : rows) {
    cells.push_back({(&row == &best ? "★ " : "") + words_of(row.setting),
                     std::to_string(row.setting.workers), fmt::format("{:.1f}", row.mean),
                     row.per_second.size() > 1 ? fmt::format("{:.1f}", row.deviation) : "",
                     time_words(row.p50), time_words(row.p99),
                     row.fill ? fmt::format("{:.1f}", *row.fill) : "",
                     row.prefix_share ? fmt::format("{:.0f} %", 100 * *row.prefix_share) : "",
                     row.failed > 0 ? fmt::format("{:.1f} %", 100 * row.failed) : ""});
  }
  return table_of(cells);
}

std::string facts_of(const Facts& facts) {
  std::string rows;
  for (const auto& [name, value] : facts) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
  }
  return "<table class=\"facts\">" + rows + "</table>\n";
}

bool is_simulated(const Facts& facts) {
  return std::ranges::any_of(facts, [](const auto& fact) {
    return fact.first == "engines" && fact.second.find("simulated") != std::string::npos;
  });
}

}  // namespace

std::string sweep_page(const SweepLog& log) {
  const std::vector<SweepRow> rows = rows_of(log);
  const SweepRow* best = best_of(rows);
  const std::string title = is_simulated(log.facts) ? "Simulated engines: a sweep" : "A sweep";
  if (best == nullptr) return page_of(title, "nothing was measured", "");
  std::vector<const SweepRow*> all;
  for (const SweepRow& row : rows) all.push_back(&row);
  std::string content =
      tiles_of({{fmt::format("{:.1f}", best->mean), "questions a second, the most"},
                {words_of(best->setting), "its setting"},
                {std::to_string(best->setting.workers), "its workers"},
                {time_words(best->p99), "its p99"}});
  content +=
      "<div class=\"charts\">\n" + maps_by_workers(all) + maps_by_batch(rows, *best) + "</div>\n";
  content += section_of("To keep the best", "<pre>" + escaped(yaml_of(best->setting)) + "</pre>\n");
  content += section_of("All settings", table_of_rows(rows, *best));
  content += section_of("How it was measured", facts_of(log.facts));
  return page_of(title, "the frame marks the best of each map", content);
}

}  // namespace batchproxy::bench
