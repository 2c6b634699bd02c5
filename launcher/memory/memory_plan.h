// launcher/memory/memory_plan.h - how an engine will share out a GPU's memory, before it starts.
//
//   KV cache = utilisation x total - weights - activations - libraries (- CUDA graphs)
//
// and from the cache's bytes, by KvLayout: blocks, tokens, concurrency, the longest context. What
// an earlier start has told (learned/) replaces what is estimated. docs/MEMORY.md has the formulas
// in words, and how far they are off.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/memory/engine_flags.h"
#include "launcher/memory/kv_layout.h"
#include "launcher/memory/learned/engine_budget.h"
#include "launcher/memory/model/model_shape.h"
#include "launcher/memory/model/weights.h"
#include "launcher/memory/overhead.h"
#include "launcher/memory/plan_gpu.h"

namespace batchproxy {

struct PlanInput {
  ModelShape shape;
  std::vector<Tensor> tensors;                  // of the checkpoint; none: not known
  std::int64_t checkpoint_bytes = 0;            // where only their sum is known; 0: not known
  std::optional<std::int64_t> weights_per_gpu;  // as the user, or an engine's log, tells them
  PlanGpu gpu;                                  // the one with the least free memory of the group
  EngineFlags flags;
  std::optional<EngineBudget> learned;  // of an earlier start with these flags
};

// Bytes on the GPU that limits all of them.
struct GpuShares {
  std::int64_t requested = 0;  // of the engine: utilisation x total
  std::int64_t weights = 0;
  std::int64_t activation = 0;
  std::int64_t non_torch = 0;
  std::int64_t graphs = 0;   // CUDA graphs
  std::int64_t context = 0;  // of CUDA, beside what is requested
  std::int64_t available_kv = 0;
  std::int64_t left = 0;          // that others may use beside the engine: for training, say
  bool graphs_are_inside = true;  // of what is requested; before 0.21 they came on top

  // What is neither weights, activations nor cache within what is requested.
  std::int64_t overhead() const { return non_torch + (graphs_are_inside ? graphs : 0); }
};

struct MemoryPlan {
  PlanGpu gpu;
  GpuShares shares;
  bool knows_weights = false;
  bool is_learned = false;  // an earlier start told the sizes
  std::vector<LargeTensor> large_tensors;

  KvLayout layout;
  std::int64_t kv_bytes_per_token = 0;  // per GPU
  std::int64_t blocks = 0;              // of the pool that requests can use
  std::int64_t kv_tokens = 0;           // size of the pool: all its blocks / groups x block
  std::int64_t printed_tokens = 0;      // what the engine prints for it
  double max_concurrency = 0;           // requests of max_model_len at once
  std::int64_t max_model_len = 0;       // as asked for, else the model's own
  std::int64_t longest_context = 0;     // of one request; 0 when none fits
  std::int64_t needed_kv = 0;           // bytes for one request of max_model_len

  BatchSizes sizes;               // as in force; a hybrid's sequences are limited to its blocks
  bool limits_sequences = false;  // --max-num-seqs has to be set to sizes.max_num_seqs
  std::vector<std::int64_t> allowed_tensor_parallel;  // 1, 2, 4, ... as the model's sizes allow

  // Sentences about what would fail; none when it fits.
  std::vector<std::string> problems;
  bool fits() const { return problems.empty(); }
};

// A reason where there is no formula, or where weights are not known and the cache's size is not
// given.
Planned<MemoryPlan> plan_memory(const PlanInput& input);

// The tensor parallel sizes, up to `most`, over which heads, KV heads, states and vocabulary can be
// shared out.
std::vector<std::int64_t> allowed_tensor_parallel(const ModelShape& shape, std::int64_t most);

// What the launcher should do about the context before it starts an engine.
struct ContextChoice {
  std::optional<std::int64_t> max_model_len;  // to set; nothing: leave it as it is
  std::string sentence;                       // to print loudly; empty when there is nothing to say
};

// Shortens the context to one that fits, only if the user has not pinned it.
ContextChoice auto_context(const PlanInput& input);

// The flags that an engine's budget depends on, as one text for LearnedKey.
std::string learned_flags(const EngineFlags& flags, const BatchSizes& sizes);

}  // namespace batchproxy
