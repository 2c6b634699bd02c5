// bench/load/load.h - a closed loop of workers that ask questions, and what came of each.
//
// Threading: run_load() runs its own event loop on the calling thread.
#pragma once

#include <string>
#include <vector>

#include "bench/load/questions.h"

namespace batchproxy::bench {

struct LoadOptions {
  std::string url;    // of the proxy, or of one engine
  std::string model;  // empty: the first that GET /v1/models names
  std::size_t workers = 32;
  std::size_t requests = 0;  // 0: each question once; more go round again
  int max_tokens = 8;
  bool chat = false;             // /v1/chat/completions instead of /v1/completions
  std::string salt;              // see prompt_of()
  std::size_t shuffle = 0;       // mix the order within windows of so many requests; 0: file order
  bool distinct_rounds = false;  // each time round, the prompts begin with a line of their own
};

struct Outcome {
  std::size_t question = 0;
  unsigned status = 0;  // 0: no answer
  std::string answer;   // the text, or the error body
  std::string backend;
  double seconds = 0;     // from sending to the last byte
  std::size_t round = 0;  // how often the questions had all been asked before
};

struct LoadResult {
  std::vector<Outcome> outcomes;  // in the order asked
  double seconds = 0;             // wall time of the whole
  std::string model;
};

// Throws std::runtime_error when the URL does not answer at all.
LoadResult run_load(const std::vector<Question>& questions, const LoadOptions& options);

}  // namespace batchproxy::bench
