// bench/page/advice_page.cc - see advice_page.h.
#include "bench/page/advice_page.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "bench/page/chart.h"
#include "bench/page/page.h"
#include "bench/results/text.h"

namespace batchproxy::bench {

namespace {

using Figure = double (*)(const Trial&);

double questions_per_second(const Trial& trial) {
  return trial.per_second;
}
double p99_ms(const Trial& trial) {
  return 1e3 * trial.p99;
}

std::string most_figure(const AdviceLog& log) {
  BarChart chart;
  chart.title = "Questions a second at best";
  for (const Candidate& candidate : log.candidates) {
    const Trial* best = best_trial(candidate);
    if (best == nullptr) continue;
    chart.bars.push_back(
        {words_of(candidate.topology), best->per_second,
         fmt::format("{:.1f} with {}", best->per_second, worker_words(best->workers)), 0});
  }
  if (chart.bars.empty()) return "";
  return drawing_of([&](const Canvas& canvas) { return draw(chart, canvas.width); });
}

std::string map_of(const AdviceLog& log, Figure figure, const std::string& title, bool more) {
  HeatMap map;
  map.title = title;
  map.x_title = "workers";
  map.more_is_better = more;
  std::set<std::size_t> workers;
  for (const Candidate& candidate : log.candidates) {
    for (const Trial& trial : candidate.trials) workers.insert(trial.workers);
  }
  for (const std::size_t count : workers) map.columns.push_back(std::to_string(count));
  for (const Candidate& candidate : log.candidates) {
    if (candidate.trials.empty()) continue;
    map.rows.push_back(words_of(candidate.topology));
    std::vector<std::optional<double>>& cells = map.cells.emplace_back(workers.size());
    for (const Trial& trial : candidate.trials) {
      const auto place = std::distance(workers.begin(), workers.find(trial.workers));
      cells[static_cast<std::size_t>(place)] = figure(trial);
    }
  }
  if (map.rows.empty()) return "";
  return drawing_of([&](const Canvas& canvas) { return draw(map, canvas.width); });
}

std::string share_words(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : "";
}

std::string table_of_trials(const AdviceLog& log, const std::optional<Advice>& advice) {
  std::vector<std::vector<std::string>> cells{{"engines", "workers", "questions/s", "p50", "p99",
                                               "prefix hits", "of the bound", "virtual time",
                                               "context", "failed"}};
  for (const Candidate& candidate : log.candidates) {
    const std::string name = words_of(candidate.topology);
    for (const Trial& trial : candidate.trials) {
      const bool is_advised = advice && advice->trial == &trial;
      cells.push_back({(is_advised ? "★ " : "") + name, std::to_string(trial.workers),
                       fmt::format("{:.1f}", trial.per_second), time_words(trial.p50),
                       time_words(trial.p99), share_words(trial.prefix_share),
                       trial.bound ? share_words(trial.per_second / *trial.bound) : "",
                       trial.virtual_time ? fmt::format("{:.1f}", *trial.virtual_time) : "",
                       candidate.context ? std::to_string(*candidate.context) : "",
                       trial.failed > 0 ? fmt::format("{:.1f} %", 100 * trial.failed) : ""});
    }
  }
  return table_of(cells);
}

std::string skipped_list(const AdviceLog& log) {
  std::string items;
  for (const Candidate& candidate : log.candidates) {
    if (candidate.skipped.empty()) continue;
    items += fmt::format("<li>{}: {}</li>", escaped(words_of(candidate.topology)),
                         escaped(candidate.skipped));
  }
  return items.empty() ? "" : section_of("Skipped", "<ul>" + items + "</ul>\n");
}

std::string table_of_facts(const Facts& facts) {
  std::string rows;
  for (const auto& [name, value] : facts) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
  }
  return "<table class=\"facts\">" + rows + "</table>\n";
}

std::string paragraph(const std::string& text) {
  return text.empty() ? "" : "<p>" + escaped(text) + "</p>\n";
}

}  // namespace

std::string advice_page(const AdviceLog& log) {
  const std::optional<Advice> advice = advise(log);
  std::string content;
  if (advice) {
    content += tiles_of({{words_of(advice->candidate->topology), "engines, as advised"},
                         {std::to_string(advice->trial->workers), "workers"},
                         {fmt::format("{:.1f}", advice->trial->per_second), "questions a second"},
                         {time_words(advice->trial->p99), "p99 of whole answers"}});
    content += paragraph(advice->reason);
  }
  content += "<div class=\"charts\">\n" + most_figure(log) +
             map_of(log, &questions_per_second, "Questions a second", true) +
             map_of(log, &p99_ms, "p99 of whole answers, ms", false) + "</div>\n";
  content += section_of("All that was measured", table_of_trials(log, advice));
  content += paragraph(order_words(log)) + skipped_list(log);
  content += section_of("How it was measured", table_of_facts(log.facts));
  return page_of(title_of(log), advice ? "the frame marks the best of each map" : "none is advised",
                 content);
}

}  // namespace batchproxy::bench
