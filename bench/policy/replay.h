// bench/policy/replay.h - a user's own questions in the virtual world: how long they are, what they
// share, and how long the simulated engine would answer each.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "bench/load/workload.h"
#include "bench/policy/workload.h"

namespace batchproxy::bench {

// So many requests: the questions in their order, again and again; each time round their prompts
// begin with a line of its own, as `batchproxy-bench run --distinct-rounds` has it. Lengths are
// counted by the simulated engine's tokenizer. Those that an engine with this context would refuse
// are left out. Throws UnusableWorkload when the virtual world does not know such questions (only
// completions and chats of one prompt and one answer), or when none is left.
std::vector<PromptRequest> replay(std::span<const ReadyQuestion> questions, std::size_t requests,
                                  int max_model_len);

}  // namespace batchproxy::bench
