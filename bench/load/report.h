// bench/load/report.h - a load run in figures.
//
// Threading: pure, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/load.h"

namespace batchproxy::bench {

struct Report {
  std::size_t asked = 0;
  std::size_t answered = 0;  // with status 200
  std::size_t correct = 0;   // the letter chosen is the label
  double seconds = 0;
  double per_second = 0;                     // answered
  double p50 = 0, p99 = 0;                   // seconds, of the answered
  std::map<std::string, double> share;       // of the answered, by backend
  std::map<unsigned, std::size_t> failures;  // by status; 0 is "no answer"
  std::optional<double> prefix_hits;         // share of prompt tokens, if the engines tell
};

Report summarise(const std::vector<Question>& questions, const LoadResult& result);

// The value below which a fraction `q` of `sorted` lies; 0 for none.
double quantile(const std::vector<double>& sorted, double q);

std::string to_text(const Report& report);
std::string to_json(const Report& report);

// One JSON object a line: question (number in the file), status, answer.
std::string answers_to_jsonl(const LoadResult& result);

}  // namespace batchproxy::bench
