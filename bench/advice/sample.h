// bench/advice/sample.h - a part of a file of questions that stands for all of it.
//
// Questions that begin alike stand together in files, and it matters how many do: so whole runs of
// neighbours are taken, at equal distances.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <vector>

namespace batchproxy::bench {

// Positions among `all`, in order: `wanted` of them, or all if there are no more.
std::vector<std::size_t> sample_of(std::size_t all, std::size_t wanted);

}  // namespace batchproxy::bench
