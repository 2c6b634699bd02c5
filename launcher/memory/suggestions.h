// launcher/memory/suggestions.h - what would make a plan fit that does not, each with its figures.
//
// Each suggestion was planned with its change: only what would fit is suggested.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/memory/memory_plan.h"

namespace batchproxy {

struct Suggestion {
  std::string flag;  // "--max-model-len 9904"
  std::string cost;  // what it costs; empty if nothing
  std::int64_t max_model_len = 0;
  std::int64_t available_kv = 0;  // bytes per GPU
  std::int64_t needed_kv = 0;
  std::int64_t longest_context = 0;
  double max_concurrency = 0;
};

// "--max-model-len 9904: needs 4.84 GiB of 4.85 GiB per GPU, ..."
std::string describe(const Suggestion& suggestion);

// In the order of least harm, the least of each kind of change. Where no change alone will do, each
// comes with a shorter context. Beyond `gpus_at_hand` more of the same kind are thought of.
std::vector<Suggestion> suggest(const PlanInput& input, std::int64_t gpus_at_hand);

}  // namespace batchproxy
