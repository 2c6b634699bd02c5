// launcher/diagnosis/figures.cc - what follows from the numbers of a failure.
#include "launcher/diagnosis/figures.h"

#include <cmath>

namespace batchproxy {
namespace {

constexpr double kBlockTokens = 16;
// vLLM wants a little less than what is free.
constexpr double kSpare = 0.01;

}  // namespace

std::optional<double> fitting_context(const Figures& figures) {
  if (figures.longest_context) return figures.longest_context;
  if (!figures.context || figures.needed_gib.value_or(0) <= 0 || !figures.available_gib) {
    return std::nullopt;
  }
  // The cache grows with the context. A block less, for the digits that are not told.
  const double tokens = *figures.context * *figures.available_gib / *figures.needed_gib;
  return std::fmax(std::floor(tokens / kBlockTokens) - 1, 0) * kBlockTokens;
}

std::optional<double> fitting_utilization(const Figures& figures) {
  if (!figures.free_gib || figures.total_gib.value_or(0) <= 0) return std::nullopt;
  // Two digits, as people write it.
  return std::floor((*figures.free_gib / *figures.total_gib - kSpare) * 100 + 1e-6) / 100;
}

}  // namespace batchproxy
