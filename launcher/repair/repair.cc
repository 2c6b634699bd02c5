// launcher/repair/repair.cc - which step is next, and making the changes.
#include "launcher/repair/repair.h"

#include <algorithm>
#include <span>
#include <utility>

#include "batcher/base/enum_table.h"
#include "launcher/repair/flags.h"
#include "launcher/repair/steps.h"

namespace batchproxy {
namespace {

struct KindRow {
  RepairKind id{};
  std::string_view word{};
  bool is_once = false;  // a second time it cannot help
};
constexpr bool kOnce = true;
constexpr bool kAgain = false;
constexpr EnumTable<KindRow> kKinds({
    {RepairKind::kWait, "wait", kOnce},
    {RepairKind::kMambaBlocks, "mamba_blocks", kAgain},
    {RepairKind::kContext, "max_model_len", kAgain},
    {RepairKind::kUtilization, "gpu_memory_utilization", kAgain},
    {RepairKind::kSequences, "max_num_seqs", kAgain},
    {RepairKind::kBatchedTokens, "max_num_batched_tokens", kAgain},
    {RepairKind::kSampler, "sampler", kOnce},
    {RepairKind::kPeerToPeer, "peer_to_peer", kOnce},
    {RepairKind::kSpawn, "spawn", kOnce},
    {RepairKind::kArgument, "argument", kAgain},
    {RepairKind::kTensorParallel, "tensor_parallel_size", kAgain},
    {RepairKind::kPipeline, "pipeline_parallel_size", kAgain},
    {RepairKind::kOtherGpus, "other_gpus", kOnce},
    {RepairKind::kKvFp8, "kv_cache_dtype", kOnce},
    {RepairKind::kCpuOffload, "cpu_offload_gb", kOnce},
});

std::string nothing_left(const RepairCase& its) {
  if ((its.cause == Cause::kKvTooSmall || its.cause == Cause::kKvTooSmallV0) &&
      its.subject.is_context_pinned) {
    return "max_model_len was set by you and is left as it is.";
  }
  return "nothing that batchproxy may change would help.";
}

}  // namespace

std::string_view word(RepairKind kind) {
  return kKinds[kind].word;
}

RepairKind repair_kind_of(std::string_view word) {
  const auto* row = std::ranges::find(kKinds, word, &KindRow::word);
  return row == kKinds.end() ? RepairKind::kCount : row->id;
}

RepairSubject subject_of(std::vector<std::string> argv, Environment environment) {
  const auto is_there = [&argv](std::string_view flag) {
    return flag_value(argv, flag).has_value();
  };
  RepairSubject subject;
  subject.is_context_pinned = flag_number(argv, "--max-model-len").value_or(-1) > 0;
  subject.is_utilization_pinned = is_there("--gpu-memory-utilization");
  subject.is_sequences_pinned = is_there("--max-num-seqs");
  subject.is_batched_pinned = is_there("--max-num-batched-tokens");
  subject.is_parallel_pinned =
      is_there("--tensor-parallel-size") || is_there("--pipeline-parallel-size");
  subject.argv = std::move(argv);
  subject.environment = std::move(environment);
  return subject;
}

RepairDecision next_repair(Cause cause, const Figures& figures, const RepairSubject& subject,
                           const RepairMachine& machine, const RepairHistory& history,
                           const RepairOptions& options) {
  const std::span<const RepairStep> steps = repair_steps_for(cause);
  if (steps.empty() || figures.is_of_host) {
    return {std::nullopt, "only you can put that right."};
  }
  if (history.size() >= static_cast<std::size_t>(options.most_attempts)) {
    return {std::nullopt,
            std::to_string(history.size()) + " repairs were tried, and it still fails."};
  }
  const RepairCase its{cause, figures, subject, machine, options};
  for (const RepairStep step : steps) {
    auto repair = step(its);
    if (!repair) continue;
    const bool was_tried = std::ranges::find(history, repair->kind) != history.end();
    if (was_tried && kKinds[repair->kind].is_once) continue;
    return {std::move(repair), {}};
  }
  return {std::nullopt, nothing_left(its)};
}

void apply_changes(const std::vector<RepairChange>& changes, std::vector<std::string>& argv,
                   Environment& environment) {
  for (const RepairChange& change : changes) {
    if (change.is_variable) {
      if (change.after) {
        environment[change.name] = *change.after;
      } else {
        environment.erase(change.name);
      }
    } else if (change.after) {
      set_flag(argv, change.name, *change.after);
    } else {
      remove_flag(argv, change.name);
    }
  }
}

}  // namespace batchproxy
