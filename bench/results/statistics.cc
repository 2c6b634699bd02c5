// bench/results/statistics.cc - see statistics.h.
#include "bench/results/statistics.h"

#include <algorithm>
#include <cmath>

namespace batchproxy::bench {

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Distribution distribution_of(std::vector<double> values) {
  Distribution all;
  if (values.empty()) return all;
  std::ranges::sort(values);
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  all.count = values.size();
  all.mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - all.mean) * (value - all.mean);
  all.deviation = std::sqrt(squares / count);
  all.least = values.front();
  all.most = values.back();
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    all.quantiles[i] = quantile(values, kQuantiles[i].q);
  }
  return all;
}

const double* figure_of(const Distribution& distribution, std::string_view word) {
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    if (kQuantiles[i].word == word) return &distribution.quantiles[i];
  }
  if (word == "median") return &distribution.quantiles[0];
  if (word == "mean") return &distribution.mean;
  if (word == "min") return &distribution.least;
  if (word == "max") return &distribution.most;
  return nullptr;
}

std::string figure_words() {
  std::string words;
  for (const QuantileRow& row : kQuantiles) words.append(row.word).append(", ");
  return words + "mean, min, max";
}

}  // namespace batchproxy::bench
