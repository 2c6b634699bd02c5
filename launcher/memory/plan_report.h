// launcher/memory/plan_report.h - the plan of one engine with all that is to be said about it: what
// `batchproxy plan` prints.
//
// Threading: plan_report() is pure. plan_model() reads files of the model: any thread that may
// wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/sources/environment.h"
#include "launcher/memory/gpu_choice.h"
#include "launcher/memory/learned/learned.h"
#include "launcher/memory/memory_plan.h"
#include "launcher/memory/model/model_files.h"
#include "launcher/memory/suggestions.h"

namespace batchproxy {

// One engine that somebody thinks of starting.
struct PlanWish {
  std::string model;  // a directory or a Hugging Face id
  EngineFlags flags;
  std::optional<std::int64_t> gpus;  // for this engine; nothing: as few as hold the model
  PlanGpus pool;                     // to choose from; none: of GPUs nothing is known
  // Told, rather than read from the checkpoint: of each GPU, or of one if no number of GPUs is
  // given.
  std::optional<std::int64_t> weights_per_gpu;
  Learned learned;
};

// An argument of `vllm serve` to add so that the engine starts as planned, with the sentence to
// print loudly.
struct PlannedArgument {
  Argument argument;
  std::string sentence;
};

struct PlanReport {
  std::string model;
  LearnedKey key;                       // of what an earlier start has told, and a later one may
  std::optional<EngineBudget> learned;  // what it has told
  std::string not_planned;  // the reason; empty when there is a plan, and then the rest counts

  std::string family;
  EngineFlags flags;  // as the engine would be started
  MemoryPlan plan;
  GpuGroup group;
  std::size_t gpus_at_hand = 0;
  std::vector<PlannedArgument> set;  // a context that fits, if none is pinned; a hybrid's sequences
  std::int64_t shortened_from = 0;   // the model's own context, if the plan's is shorter
  std::vector<std::string> notes;    // sentences, the loudest first
  std::vector<Suggestion> suggestions;
};

PlanReport plan_report(const PlanWish& wish, const ModelFiles& files);

// Finds the model's files, and plans.
PlanReport plan_model(const PlanWish& wish, const Environment& environment);

// After an engine planned so has come up: reads what the last run in its log tells, from byte
// `from` on, and keeps it in `learned_path`. Returns a warning for the log, or "". Reads the log in
// pieces; it may take long, and may wait for other processes that learn.
std::string learn_from_log(const std::string& learned_path, const PlanReport& report,
                           const std::string& log_path, std::uint64_t from);

}  // namespace batchproxy
