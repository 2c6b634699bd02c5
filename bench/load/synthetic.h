// bench/load/synthetic.h - questions that are made: so long, so much alike, and answered at such a
// length.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/load/workload.h"

namespace batchproxy::bench {

struct SyntheticOptions {
  std::size_t questions = 0;
  int prompt_tokens = 512;  // of each, with what it shares
  int output_tokens = 16;   // of each answer: engines go on until then
  int shared_tokens = 0;    // of its beginning, which it shares with others
  std::size_t sharing = 1;  // so many questions begin alike
  std::uint64_t seed = 1;
  bool chat = false;
};

// Prompts of common words, which are a token each for most tokenizers: what they come to is told by
// the engines' usage. The same for the same options. Throws UnusableWorkload when more is to be
// shared than there is.
std::vector<ReadyQuestion> make_synthetic(const SyntheticOptions& options, const Manner& manner);

}  // namespace batchproxy::bench
