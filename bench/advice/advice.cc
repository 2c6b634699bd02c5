// bench/advice/advice.cc - see advice.h.
#include "bench/advice/advice.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "bench/results/text.h"
#include "configs/text/columns.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

constexpr double kFewFailures = 0.01;
constexpr double kAlike = 0.05;      // of the rates of such short runs
constexpr double kToldApart = 1.10;  // of virtual-time figures
constexpr std::size_t kFirstColumn = 12;

bool is_sound(const Trial& trial) {
  return trial.failed <= kFewFailures && trial.per_second > 0;
}

double percent_more(double more, double than) {
  return 100 * (more / than - 1);
}

// The fewest workers that come close to the topology's most.
const Trial& advised_trial(const Candidate& candidate, const Trial& best) {
  const Trial* fewest = &best;
  for (const Trial& trial : candidate.trials) {
    const bool close = is_sound(trial) && trial.per_second >= best.per_second * (1 - kAlike);
    if (close && trial.workers < fewest->workers) fewest = &trial;
  }
  return *fewest;
}

struct Ranked {
  const Candidate* candidate;
  const Trial* best;
};

std::vector<Ranked> ranked(const AdviceLog& log) {
  std::vector<Ranked> order;
  for (const Candidate& candidate : log.candidates) {
    if (const Trial* best = best_trial(candidate)) order.push_back({&candidate, best});
  }
  // Of equals, the one that was tried first.
  std::ranges::sort(order, [](const Ranked& a, const Ranked& b) {
    return std::pair(-a.best->per_second, a.candidate) <
           std::pair(-b.best->per_second, b.candidate);
  });
  return order;
}

std::string name_of(const Ranked& ranked) {
  return words_of(ranked.candidate->topology);
}

// `order`: the chosen one first.
std::string reason_for(const std::vector<Ranked>& order, const Ranked& most) {
  const Ranked& chosen = order.front();
  if (order.size() == 1) {
    return fmt::format("{} is the only one that answered: {:.1f} questions a second.",
                       name_of(chosen), chosen.best->per_second);
  }
  const Ranked& next = order[1];
  if (chosen.candidate != most.candidate) {
    return fmt::format(
        "{} answers as many questions a second as {} (within 5 %), and its slowest 1 % are faster: "
        "p99 {} against {}.",
        name_of(chosen), name_of(most), time_words(chosen.best->p99), time_words(most.best->p99));
  }
  if (next.best->per_second >= chosen.best->per_second * (1 - kAlike)) {
    return fmt::format(
        "{} and {} answer as many questions a second (within 5 %), and the slowest 1 % of {} are "
        "faster: p99 {} against {}.",
        name_of(chosen), name_of(next), name_of(chosen), time_words(chosen.best->p99),
        time_words(next.best->p99));
  }
  return fmt::format("{} answers {:.1f} questions a second, {:.0f} % more than the next, {}.",
                     name_of(chosen), chosen.best->per_second,
                     percent_more(chosen.best->per_second, next.best->per_second), name_of(next));
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t has = columns_of(text);
  return text + std::string(width > has ? width - has : 1, ' ');
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string or_nothing(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : "";
}

std::optional<double> of_bound(const Trial& trial) {
  if (!trial.bound || *trial.bound <= 0) return std::nullopt;
  return trial.per_second / *trial.bound;
}

// Without the blanks of cells that say nothing at its end.
std::string as_line(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text + '\n';
}

std::string line_of(const Candidate& candidate, const Trial& trial, bool is_advised) {
  return as_line(fmt::format("{} {}{:>8}{:>9.1f}{:>10}{:>10}{:>8}{:>10}{:>9}{:>10}{:>8}",
                             is_advised ? "*" : " ",
                             padded(words_of(candidate.topology), kFirstColumn), trial.workers,
                             trial.per_second, time_words(trial.p50), time_words(trial.p99),
                             or_nothing(trial.prefix_share), or_nothing(of_bound(trial)),
                             trial.virtual_time ? fmt::format("{:.1f}", *trial.virtual_time) : "",
                             candidate.context ? grouped(*candidate.context) : "",
                             trial.failed > 0 ? fmt::format("{:.1f} %", 100 * trial.failed) : ""));
}

std::string table_of(const AdviceLog& log, const std::optional<Advice>& advice) {
  std::string text = fmt::format("  {}{:>8}{:>9}{:>10}{:>10}{:>8}{:>10}{:>9}{:>10}{:>8}\n",
                                 padded("engines", kFirstColumn), "workers", "q/s", "p50", "p99",
                                 "hits", "of bound", "virtual", "context", "failed");
  for (const Candidate& candidate : log.candidates) {
    for (const Trial& trial : candidate.trials) {
      text += line_of(candidate, trial, advice && advice->trial == &trial);
    }
    if (!candidate.skipped.empty()) {
      text += fmt::format("  {}skipped: {}\n", padded(words_of(candidate.topology), kFirstColumn),
                          candidate.skipped);
    }
  }
  return text;
}

std::string legend_of(const AdviceLog& log) {
  std::string text =
      "\nq/s: questions answered a second. hits: share of the prompts' tokens that engines had in "
      "their\nprefix caches. context: tokens that an engine takes of one question and its "
      "answer.\n";
  if (!log.simulated.empty()) {
    text +=
        "of bound: share of what no way of sending could exceed on these engines. virtual: what\n"
        "`batchproxy-bench policy` reckons for the same questions.\n";
  }
  return text;
}

std::string remarks_of(const AdviceLog& log) {
  std::string text;
  for (const Candidate& candidate : log.candidates) {
    const std::string name = words_of(candidate.topology);
    for (const std::string& remark : candidate.remarks) {
      text += fmt::format("{}: {}\n", name, printable(remark));
    }
    for (const Trial& trial : candidate.trials) {
      if (trial.failures.empty()) continue;
      text += fmt::format("{}, {}: {}\n", name, worker_words(trial.workers), trial.failures);
    }
  }
  return text.empty() ? "" : "\n" + text;
}

json::value or_null(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}
json::value or_null(const std::optional<std::int64_t>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::object json_of(const Trial& trial) {
  return {{"workers", trial.workers},
          {"questions_per_second", trial.per_second},
          {"p50_seconds", trial.p50},
          {"p99_seconds", trial.p99},
          {"failed", trial.failed},
          {"batch_fill", or_null(trial.fill)},
          {"prefix_hits", or_null(trial.prefix_share)},
          {"bound", or_null(trial.bound)},
          {"virtual_time", or_null(trial.virtual_time)}};
}

json::object json_of(const Candidate& candidate) {
  json::array trials;
  for (const Trial& trial : candidate.trials) trials.push_back(json_of(trial));
  json::object object{{"engines", candidate.topology.engines},
                      {"tensor_parallel_size", candidate.topology.tensor_parallel},
                      {"start_seconds", candidate.start_seconds},
                      {"context", or_null(candidate.context)},
                      {"kv_tokens", or_null(candidate.kv_tokens)},
                      {"trials", std::move(trials)}};
  if (!candidate.skipped.empty()) object["skipped"] = candidate.skipped;
  return object;
}

}  // namespace

std::string worker_words(std::size_t workers) {
  return fmt::format("{} worker{}", workers, workers == 1 ? "" : "s");
}

const Trial* best_trial(const Candidate& candidate) {
  const Trial* best = nullptr;
  for (const Trial& trial : candidate.trials) {
    const bool better = best == nullptr || trial.per_second > best->per_second;
    if (is_sound(trial) && better) best = &trial;
  }
  return best;
}

std::optional<Advice> advise(const AdviceLog& log) {
  std::vector<Ranked> order = ranked(log);
  if (order.empty() || log.stopped) return std::nullopt;
  const Ranked most = order.front();
  const auto alike = std::ranges::find_if(order, [&](const Ranked& each) {
    return each.best->per_second < most.best->per_second * (1 - kAlike);
  });
  std::sort(order.begin(), alike, [](const Ranked& a, const Ranked& b) {
    return std::pair(a.best->p99, a.candidate) < std::pair(b.best->p99, b.candidate);
  });
  Advice advice;
  advice.candidate = order.front().candidate;
  advice.trial = &advised_trial(*advice.candidate, *order.front().best);
  advice.reason = reason_for(order, most);
  return advice;
}

std::string order_words(const AdviceLog& log) {
  std::size_t compared = 0;
  std::string others;
  for (const Candidate& one : log.candidates) {
    for (const Candidate& two : log.candidates) {
      for (const Trial& a : one.trials) {
        for (const Trial& b : two.trials) {
          if (a.workers != b.workers || !a.virtual_time || !b.virtual_time) continue;
          if (*a.virtual_time <= kToldApart * *b.virtual_time) continue;
          ++compared;
          if (a.per_second > b.per_second) continue;
          others +=
              fmt::format("{}{} over {} with {}", others.empty() ? "" : "; ",
                          words_of(one.topology), words_of(two.topology), worker_words(a.workers));
        }
      }
    }
  }
  if (compared == 0) return "";
  if (others.empty()) {
    return fmt::format(
        "The virtual-time run has the same order in all {} pairs that it tells apart by more than "
        "10 %.",
        compared);
  }
  return fmt::format("Of {} pairs, the virtual-time run has another order in these: {}.", compared,
                     others);
}

std::string title_of(const AdviceLog& log) {
  return log.simulated.empty() ? "Which topology"
                               : fmt::format("Which topology: simulated {} engines", log.simulated);
}

std::string to_text(const AdviceLog& log) {
  const std::optional<Advice> advice = advise(log);
  std::string text = title_of(log) + "\n\n";
  for (const auto& [name, value] : log.facts) {
    text += fmt::format("{:<11} {}\n", name, printable(value));
  }
  text += "\n" + table_of(log, advice) + legend_of(log) + remarks_of(log);
  if (const std::string order = order_words(log); !order.empty()) text += "\n" + order + "\n";
  if (log.stopped) {
    return text + "\nStopped before all were tried: there is no advice yet, and no configuration.\n";
  }
  if (!advice) return text + "\nNone can be advised: none answered 99 of 100 questions.\n";
  return text + fmt::format("\nAdvice: {} with {}.\n{}\n", words_of(advice->candidate->topology),
                            worker_words(advice->trial->workers), advice->reason);
}

std::string to_json(const AdviceLog& log) {
  json::object facts;
  for (const auto& [name, value] : log.facts) facts[name] = value;
  json::array candidates;
  for (const Candidate& candidate : log.candidates) candidates.push_back(json_of(candidate));
  json::object object{{"facts", std::move(facts)},
                      {"simulated", !log.simulated.empty()},
                      {"stopped", log.stopped},
                      {"seconds", log.seconds},
                      {"candidates", std::move(candidates)}};
  if (const auto advice = advise(log)) {
    object["advice"] =
        json::object{{"engines", advice->candidate->topology.engines},
                     {"tensor_parallel_size", advice->candidate->topology.tensor_parallel},
                     {"workers", advice->trial->workers},
                     {"reason", advice->reason}};
  }
  return json::serialize(object) + "\n";
}

}  // namespace batchproxy::bench
