// bench/policy/workload.h - the requests that the policy benchmark sends: how long they are, what
// they share, and in which order they are asked.
//
// Threading: pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backends/sim/model/block_pool.h"
#include "batcher/base/prefix.h"

namespace batchproxy::bench {

enum class Workload : std::uint8_t {
  kChoices,        // system 300 + passage 1000 + question 200 tokens, 1 to 16 answered
  kOneToken,       // the same, 1 token answered
  kGeneration,     // 800 tokens, about 150 answered
  kMixed,          // four kChoices to one kGeneration
  kShort,          // 128 to 159 tokens, 1 answered
  kLongGeneration  // 300 tokens, about 600 answered
};

std::string_view name_of(Workload workload);

struct WorkloadOptions {
  Workload kind = Workload::kChoices;
  int sharing = 1;           // requests per passage: so many, ...
  int most_sharing = 0;      // ... or, if this is more, between that and this, each as likely
  std::size_t window = 256;  // requests that share a passage are shuffled in windows of so many
  std::size_t count = 0;     // requests in all
  int passage_tokens = 0;    // mean; 0: what the kind has
  int output_tokens = 0;     // of every answer; 0: what the kind has
  std::optional<Workload> beside;   // every other request is another job's, of this kind
  std::uint64_t first_passage = 0;  // jobs of other passages share none
  std::uint64_t seed = 1;

  bool shares() const { return std::max(sharing, most_sharing) > 1; }
};

struct PromptRequest {
  std::uint64_t passage = 0;
  int prompt_tokens = 0;
  int output_tokens = 0;
  bool short_answer = false;  // its max_tokens is small
  PrefixChain prefix;
  std::vector<sim::BlockHash> blocks;  // of what it may share with others
};

// In the order in which they are asked; the same on every machine.
std::vector<PromptRequest> make_requests(const WorkloadOptions& options);

}  // namespace batchproxy::bench
