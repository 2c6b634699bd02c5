// bench/results/statistics.h - figures of many values: quantiles, mean, spread.
//
// Threading: pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy::bench {

// The value below which a fraction `q` of `sorted` lies: one that occurs (nearest rank); 0 for
// none.
double quantile(const std::vector<double>& sorted, double q);

// The quantiles that results tell, in the words of `vllm bench serve`.
struct QuantileRow {
  std::string_view word;
  double q;
};
inline constexpr std::array<QuantileRow, 5> kQuantiles{{
    {"p50", 0.5},
    {"p90", 0.9},
    {"p95", 0.95},
    {"p99", 0.99},
    {"p99.9", 0.999},
}};

struct Distribution {
  std::size_t count = 0;
  double mean = 0;
  double deviation = 0;  // standard
  double least = 0, most = 0;
  std::array<double, kQuantiles.size()> quantiles{};  // in the order of kQuantiles

  double median() const { return quantiles[0]; }
};
Distribution distribution_of(std::vector<double> values);

// Of a distribution, by its word: a quantile's, "mean", "min" or "max". Null for another word.
const double* figure_of(const Distribution& distribution, std::string_view word);
// Those words: "p50, p90, …, mean, min, max".
std::string figure_words();

}  // namespace batchproxy::bench
