// launcher/repair/mechanic.cc - see mechanic.h.
#include "launcher/repair/mechanic.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "configs/vllm/arguments.h"
#include "launcher/diagnosis/log_file.h"
#include "launcher/memory/memory_plan.h"
#include "launcher/memory/plan_report.h"
#include "launcher/repair/flags.h"

namespace batchproxy {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr std::string_view kContextFlag = "--max-model-len";

// What passes by itself, or may: starting again is worth a try although nothing was changed.
bool may_pass(Cause cause) {
  switch (cause) {
    case Cause::kDiskFull:
    case Cause::kFdLimit:
    case Cause::kFreeMemory:
    case Cause::kMemoryGrew:
    case Cause::kExternalWeights:
    case Cause::kOomSampler:
    case Cause::kOomWeights:
    case Cause::kOomLoad:
    case Cause::kOomProfile:
    case Cause::kOomGraphs:
    case Cause::kOom:
    case Cause::kCublasAlloc:
    case Cause::kHubUnreachable:
    case Cause::kNoDriver:
    case Cause::kRayPlacement:
    case Cause::kNccl:
    case Cause::kPortInUse:
    case Cause::kPortInUse2:
    case Cause::kReadyTimeout:
    case Cause::kKilled:
    case Cause::kCrashed:
    case Cause::kSlowOrHung:
      return true;
    default:
      return false;
  }
}

std::vector<std::string> lines_of(const Diagnosis& diagnosis, const std::string& log) {
  std::vector<std::string> lines;
  if (!diagnosis.has_failed()) return lines;
  if (diagnosis.cause) {
    lines.push_back("cause: " + std::string(describe(*diagnosis.cause).what));
  }
  if (!diagnosis.evidence.empty()) lines.push_back("log says: " + diagnosis.evidence);
  if (!diagnosis.cause) {
    for (const std::string& line : diagnosis.last_lines) lines.push_back(line);
  }
  lines.push_back("log: " + log);
  return lines;
}

}  // namespace

Mechanic::Mechanic(const Options& options, PlanGpus gpus, int spare_gpus,
                   std::string state_directory)
    : repairs_(*options.proxy.launcher.repair),
      engine_(*options.proxy.launcher.engine),
      options_{.most_attempts = static_cast<int>(*options.proxy.launcher.repair_attempts),
               .may_kv_fp8 = *options.proxy.launcher.repair_kv_fp8,
               .cpu_offload_gib = static_cast<int>(*options.proxy.launcher.repair_cpu_offload)},
      gpus_(std::move(gpus)),
      spare_gpus_(spare_gpus),
      directory_(std::move(state_directory)) {
  if (directory_.empty()) return;
  if (auto known = RepairMemory::load(file("repairs.json"))) memory_ = *std::move(known);
}

std::string Mechanic::file(const char* name) const {
  return directory_ + "/" + name;
}

Mechanic::Record& Mechanic::record(BackendId engine) {
  if (engine >= records_.size()) records_.resize(engine + 1);
  return records_[engine];
}

// The arguments of a command are its own.
bool Mechanic::may_change(const EnginePlan& plan) const {
  return repairs_ && engine_ != "command" && !plan.argv.empty();
}

// As the driver tells of them; nothing if it has not told of all.
std::optional<PlanGpus> Mechanic::gpus_of(const EnginePlan& plan) const {
  PlanGpus found;
  for (const Gpu& gpu : plan.gpus) {
    const auto known = std::ranges::find(gpus_, gpu.index, &PlanGpu::index);
    if (gpu.index < 0 || known == gpus_.end()) return std::nullopt;
    found.push_back(*known);
  }
  return found;
}

// What to plan the memory of; nothing for arguments that have no plan.
std::optional<PlanWish> Mechanic::wish_of(const EnginePlan& plan) const {
  EngineVersion version;
  if (plan.version) version = {plan.version->major, plan.version->minor};
  const auto flags = engine_flags(plan.arguments, version);
  if (!flags) return std::nullopt;
  PlanWish wish;
  wish.model = plan.model;
  wish.flags = *flags;
  wish.gpus = flags->gpus();
  if (const auto gpus = gpus_of(plan)) wish.pool = *gpus;
  return wish;
}

RepairKey Mechanic::key_of(const EnginePlan& plan) const {
  const auto gpus = gpus_of(plan);
  const std::string name = gpus && !gpus->empty() ? gpus->front().name : engine_;
  return {plan.model, fmt::format("{} x{}", name, plan.gpus.size()),
          plan.version ? to_string(*plan.version) : "unknown"};
}

RepairMachine Mechanic::machine_for(const EnginePlan& plan) const {
  RepairMachine machine;
  machine.spare_gpus = spare_gpus_;
  const auto gpus = gpus_of(plan);
  if (gpus && !gpus->empty()) {
    machine.gpu_total_gib = static_cast<double>(gpus->front().total) / kGiB;
  }
  return machine;
}

// --- before the first start ---------------------------------------------------------------------

std::vector<std::string> Mechanic::prepare(EnginePlan& plan) {
  std::vector<std::string> said;
  if (!may_change(plan)) return said;
  recall(plan, said);
  fit_context(plan, said);
  return said;
}

void Mechanic::recall(EnginePlan& plan, std::vector<std::string>& said) {
  for (const RememberedRepair& repair : memory_.repairs_for(key_of(plan))) {
    // What the user writes counts over what an earlier run has found.
    if (repair.kind == RepairKind::kContext && find_argument(plan.arguments, "max_model_len")) {
      continue;
    }
    apply_changes(repair.changes, plan.argv, plan.environment.set);
    record(plan.backend).sentences.push_back(repair.sentence);
    said.push_back(plan.name + ": as in an earlier run: " + repair.sentence);
  }
}

void Mechanic::fit_context(EnginePlan& plan, std::vector<std::string>& said) {
  const auto gpus = gpus_of(plan);
  if (engine_ != "vllm" || plan.gpus.empty() || !gpus) return;
  if (flag_value(plan.argv, kContextFlag)) return;
  auto wish = wish_of(plan);
  if (!wish) return;
  wish->learned = read_learned(file("learned.json")).learned;
  const PlanReport report = plan_model(*wish, plan.environment.set);
  if (!report.not_planned.empty()) return;
  if (report.shortened_from > 0 && report.plan.fits()) {
    set_flag(plan.argv, kContextFlag, std::to_string(*report.flags.max_model_len));
    const std::string sentence =
        fmt::format("max_model_len {} -> {}: no longer context fits the memory of its GPUs",
                    report.shortened_from, *report.flags.max_model_len);
    record(plan.backend).sentences.push_back(sentence);
    said.push_back(plan.name + ": " + sentence);
  }
  if (report.plan.fits()) return;
  for (const std::string& problem : report.plan.problems) {
    said.push_back(plan.name + " is not expected to start: " + problem);
  }
}

// --- after a start ------------------------------------------------------------------------------

Finding Mechanic::after_failed_start(EnginePlan& plan, std::uint64_t begin) {
  const auto diagnosis = diagnose_file(plan.log_file, begin);
  if (!diagnosis || !diagnosis->has_failed()) return {};
  Finding found{.cause = diagnosis->cause, .lines = lines_of(*diagnosis, plan.log_file)};
  if (!diagnosis->cause) return found;
  Record& its = record(plan.backend);
  RepairDecision decision;
  if (may_change(plan)) {
    const auto is_pinned = [&plan](std::string_view name) {
      return find_argument(plan.arguments, name) != nullptr;
    };
    const RepairSubject subject{.argv = plan.argv,
                                .environment = plan.environment.set,
                                .is_context_pinned = is_pinned("max_model_len"),
                                .is_utilization_pinned = is_pinned("gpu_memory_utilization"),
                                .is_sequences_pinned = is_pinned("max_num_seqs"),
                                .is_batched_pinned = is_pinned("max_num_batched_tokens"),
                                .is_parallel_pinned = is_pinned("tensor_parallel_size")};
    decision = next_repair(*diagnosis->cause, diagnosis->figures, subject, machine_for(plan),
                           its.history, options_);
  }
  // More GPUs are for the operator: these engines have theirs.
  if (decision.repair && decision.repair->gpus_wanted <= static_cast<int>(plan.gpus.size())) {
    const Repair& repair = *decision.repair;
    apply_changes(repair.changes, plan.argv, plan.environment.set);
    its.history.push_back(repair.kind);
    if (!repair.changes.empty()) {
      its.made.push_back({*diagnosis->cause, repair.kind, repair.changes, repair.sentence});
      its.sentences.push_back(repair.sentence);
    }
    found.lines.push_back("repair: " + repair.sentence);
    found.is_repaired = true;
    return found;
  }
  int number = 0;
  for (const std::string& line : suggestions(plan, *diagnosis)) {
    found.lines.push_back(fmt::format("{}. {}", ++number, line));
  }
  if (!decision.reason.empty()) found.lines.push_back("no repair: " + decision.reason);
  found.is_hopeless = !may_pass(*diagnosis->cause);
  return found;
}

// What would fit, each with its figures, where the model can be planned; else what the cause's row
// advises.
std::vector<std::string> Mechanic::suggestions(const EnginePlan& plan,
                                               const Diagnosis& diagnosis) const {
  const bool is_of_cache =
      *diagnosis.cause == Cause::kKvTooSmall || *diagnosis.cause == Cause::kKvTooSmallV0;
  std::vector<std::string> lines;
  if (is_of_cache && diagnosis.figures.available_gib && engine_ != "command") {
    if (auto wish = wish_of(plan)) {
      wish->flags.kv_cache_memory =
          static_cast<std::int64_t>(*diagnosis.figures.available_gib * kGiB);
      const PlanReport report = plan_model(*wish, plan.environment.set);
      for (const Suggestion& suggestion : report.suggestions) {
        lines.push_back(describe(suggestion));
      }
    }
  }
  if (!lines.empty()) return lines;
  return advice_for(*diagnosis.cause, diagnosis.figures);
}

Finding Mechanic::after_death(const EnginePlan& plan, std::uint64_t begin) const {
  const auto diagnosis = diagnose_file(plan.log_file, begin);
  if (!diagnosis || !diagnosis->cause) return {};
  return {.cause = diagnosis->cause, .lines = lines_of(*diagnosis, plan.log_file)};
}

std::vector<std::string> Mechanic::after_good_start(const EnginePlan& plan, std::uint64_t begin) {
  std::vector<std::string> said;
  Record& its = record(plan.backend);
  its.history.clear();
  if (directory_.empty()) return said;
  if (!its.made.empty()) {
    for (RememberedRepair& repair : its.made) {
      memory_.remember(key_of(plan), std::move(repair));
    }
    its.made.clear();
    const std::string problem = memory_.save(file("repairs.json"));
    if (!problem.empty()) said.push_back("the repairs cannot be kept: " + problem);
  }
  const auto gpus = gpus_of(plan);
  if (engine_ != "vllm" || plan.gpus.empty() || !gpus) return said;
  const auto wish = wish_of(plan);
  if (!wish) return said;
  const PlanReport report = plan_model(*wish, plan.environment.set);
  const std::string warning = learn_from_log(file("learned.json"), report, plan.log_file, begin);
  if (!warning.empty()) said.push_back(warning);
  return said;
}

}  // namespace batchproxy
