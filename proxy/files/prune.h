// proxy/files/prune.h - forgets what a folder of jobs keeps of old: ledgers of bulk jobs, and
// recorded answers.
//
// Nothing that is in use is touched: a ledger that a connection uses is left out, and recorded
// answers can be dropped only while no batchproxy has them.
//
// Threading: start-up only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace batchproxy {

struct Pruned {
  std::int64_t ledgers = 0;               // of `POST /v1/bulk?job=NAME`
  std::int64_t answers = 0;               // of `x-batchproxy-job`
  std::vector<std::string> left_alone{};  // a sentence for each that could not be touched
};

// `before_ms`: since 1970. A ledger is as old as its last change, an answer as its record.
Pruned prune_folder(const std::string& folder, std::int64_t before_ms);

}  // namespace batchproxy
