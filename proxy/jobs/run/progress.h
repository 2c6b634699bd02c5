// proxy/jobs/run/progress.h - how far a run has come, as a line for people.
//
// Threading: values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "batcher/base/time.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

// What this run itself has seen.
struct RunTally {
  std::int64_t answered = 0;
  std::int64_t failed = 0;
  std::int64_t tokens = 0;  // of prompts and answers
  std::map<std::string, std::int64_t> by_backend{};
};

// "1,200 of 5,000 answered · 41.3/s · 12,300 tokens/s · 3 failed · 1 min 32 s left".
// `counts` are of the whole job, `took` is this run's time.
std::string progress_line(const LedgerCounts& counts, const RunTally& tally, Duration took);

// "gpu1:8000 51 %, gpu2:8000 49 %"; "" where nobody was named.
std::string shares_of(const RunTally& tally);

// "45 s", "3 min 20 s", "2 h 5 min".
std::string duration_words(Duration duration);

}  // namespace batchproxy
