// bench/advice/sample.cc - see sample.h.
#include "bench/advice/sample.h"

#include <algorithm>

namespace batchproxy::bench {

namespace {

constexpr std::size_t kNeighbours = 32;

}  // namespace

std::vector<std::size_t> sample_of(std::size_t all, std::size_t wanted) {
  const std::size_t count = std::min(all, wanted);
  const std::size_t runs = (count + kNeighbours - 1) / kNeighbours;
  std::vector<std::size_t> sample;
  sample.reserve(count);
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t begin = std::max(run * all / runs, sample.empty() ? 0 : sample.back() + 1);
    const std::size_t left = count - sample.size();
    for (std::size_t i = 0; i < std::min(kNeighbours, left) && begin + i < all; ++i) {
      sample.push_back(begin + i);
    }
  }
  return sample;
}

}  // namespace batchproxy::bench
