// launcher/repair/mechanic.cc - see mechanic.h.
#include "launcher/repair/mechanic.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "configs/sources/environment.h"
#include "configs/vllm/arguments.h"
#include "launcher/diagnosis/log_file.h"
#include "launcher/memory/gpu_choice.h"
#include "launcher/memory/memory_plan.h"
#include "launcher/memory/plan_report.h"
#include "launcher/plan/command_line.h"
#include "launcher/repair/flags.h"

namespace batchproxy {

namespace {

constexpr double kBytesOfGib = 1024.0 * 1024 * 1024;
constexpr std::string_view kContextFlag = "--max-model-len";
constexpr std::string_view kParallelFlag = "--tensor-parallel-size";
constexpr std::string_view kStagesFlag = "--pipeline-parallel-size";
constexpr std::string_view kSequencesFlag = "--max-num-seqs";

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

// As the engine sees it: a model that is named by its id lies where HF_HOME says.
Environment environment_of(const EnginePlan& plan) {
  Environment all = plan.environment.set;
  all.merge(process_environment());
  return all;
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

// How many GPUs an engine with these arguments takes.
std::size_t gpus_of_flags(const std::vector<std::string>& argv) {
  double product = 1;
  for (const std::string_view flag :
       {kParallelFlag, kStagesFlag, std::string_view("--data-parallel-size")}) {
    product *= std::max(1.0, flag_number(argv, flag).value_or(1));
  }
  return static_cast<std::size_t>(product);
}

}  // namespace

Mechanic::Mechanic(const Options& options, PlanGpus gpus, SpareGpus spare)
    : repairs_(*options.proxy.launcher.repair),
      engine_(*options.proxy.launcher.engine),
      options_{.most_attempts = static_cast<int>(*options.proxy.launcher.repair_attempts),
               .may_kv_fp8 = *options.proxy.launcher.repair_kv_fp8,
               .cpu_offload_gib = static_cast<int>(*options.proxy.launcher.repair_cpu_offload)},
      gpus_(std::move(gpus)),
      spare_(std::move(spare)),
      repairs_path_(repairs_file()),
      learned_path_(learned_file()) {}

Mechanic::Care& Mechanic::care_of(const EnginePlan& plan) {
  if (plan.backend >= engines_.size()) engines_.resize(plan.backend + 1);
  std::optional<Care>& its = engines_[plan.backend];
  if (!its) {
    const RepairKey key = key_of(plan);
    its.emplace(Care{EngineRepairs(subject_of(plan.argv, plan.environment.set), options_,
                                   remembered_for(key, plan)),
                     key});
  }
  return *its;
}

// Without those that want more GPUs than there are now.
std::vector<RememberedRepair> Mechanic::remembered_for(const RepairKey& key,
                                                       const EnginePlan& plan) {
  if (repairs_path_.empty()) return {};
  const std::size_t spare = free_spare().size();
  std::vector<RememberedRepair> remembered = read_repairs(repairs_path_).memory.repairs_for(key);
  std::erase_if(remembered, [&](const RememberedRepair& repair) {
    if (plan.gpus.empty()) return false;
    std::vector<std::string> argv = plan.argv;
    Environment ignored;
    apply_changes(repair.changes, argv, ignored);
    return gpus_of_flags(argv) > plan.gpus.size() + spare;
  });
  return remembered;
}

// --- GPUs that are to spare ---------------------------------------------------------------------

// Those that no other batchproxy has now; it may give them back later.
Gpus Mechanic::free_spare() const {
  Gpus free = spare_.gpus;
  std::erase_if(free, [this](const Gpu& gpu) { return spare_.claim(gpu) == nullptr; });
  return free;
}

// The best of them: NVLink neighbours, and those with the most free memory.
Gpus Mechanic::take_spare(std::size_t count) {
  Gpus free = free_spare();
  const PlanGpus known = spare_.look(free);
  if (known.size() == free.size()) {
    const std::vector<int> best = choose_gpus(known, count, 0).indices;
    std::ranges::partition(free, [&best](const Gpu& gpu) {
      return std::ranges::find(best, gpu.index) != best.end();
    });
  }
  Gpus taken;
  for (const Gpu& gpu : free) {
    if (taken.size() == count) break;
    SpareGpus::Claim claim = spare_.claim(gpu);
    if (claim == nullptr) continue;  // since a moment ago
    claims_.push_back(std::move(claim));
    taken.push_back(gpu);
    std::erase(spare_.gpus, gpu);
  }
  for (const PlanGpu& gpu : known) {
    const bool is_new = std::ranges::find(gpus_, gpu.index, &PlanGpu::index) == gpus_.end();
    if (is_new && std::ranges::count(taken, Gpu(gpu.index)) > 0) gpus_.push_back(gpu);
  }
  return taken;
}

void Mechanic::move(EnginePlan& plan, Care& care, Gpus gpus) {
  const std::string before = join_gpus(plan.gpus);
  plan.gpus = std::move(gpus);
  care.moved = fmt::format("GPUs {} -> {}", before, join_gpus(plan.gpus));
}

void Mechanic::give_enough_gpus(EnginePlan& plan, Care& care) {
  const std::size_t wanted = gpus_of_flags(care.repairs.subject().argv);
  if (plan.gpus.empty() || wanted <= plan.gpus.size()) return;
  Gpus all = plan.gpus;
  std::ranges::copy(take_spare(wanted - all.size()), std::back_inserter(all));
  move(plan, care, std::move(all));
}

std::vector<std::string> Mechanic::repairs(BackendId engine) const {
  std::vector<std::string> all;
  if (engine < fitted_.size()) {
    for (const FittedFlag& fitted : fitted_[engine]) all.push_back(fitted.sentence);
  }
  if (engine >= engines_.size() || !engines_[engine]) return all;
  std::ranges::move(engines_[engine]->repairs.sentences(), std::back_inserter(all));
  if (!engines_[engine]->moved.empty()) all.push_back(engines_[engine]->moved);
  return all;
}

// The plan's command becomes that of `subject`, beside what was fitted to the memory.
void Mechanic::take(const RepairSubject& subject, EnginePlan& plan) const {
  plan.argv = subject.argv;
  plan.environment.set = subject.environment;
  const bool is_moved = !engines_[plan.backend]->moved.empty();
  if (is_moved) plan.environment.set["CUDA_VISIBLE_DEVICES"] = join_gpus(plan.gpus);
  if (plan.backend < fitted_.size()) {
    for (const FittedFlag& fitted : fitted_[plan.backend]) {
      if (!flag_value(plan.argv, fitted.flag)) set_flag(plan.argv, fitted.flag, fitted.value);
    }
  }
  const auto sequences = flag_number(plan.argv, kSequencesFlag);
  if (sequences && *sequences >= 1) plan.max_num_seqs = std::llround(*sequences);
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
  const auto flags = engine_flags(plan.arguments, plan.version.value_or(kNewestKnown));
  if (!flags) return std::nullopt;
  PlanWish wish;
  wish.model = plan.model;
  wish.flags = *flags;
  // A repair may have changed these.
  if (const auto parallel = flag_number(plan.argv, kParallelFlag)) {
    wish.flags.tensor_parallel_size = std::llround(*parallel);
  }
  if (const auto stages = flag_number(plan.argv, kStagesFlag)) {
    wish.flags.pipeline_parallel_size = std::llround(*stages);
  }
  wish.gpus = wish.flags.gpus();
  if (const auto gpus = gpus_of(plan)) wish.pool = *gpus;
  return wish;
}

RepairKey Mechanic::key_of(const EnginePlan& plan) const {
  const auto gpus = gpus_of(plan);
  const std::string name = gpus && !gpus->empty() ? gpus->front().name : engine_;
  return {plan.model, fmt::format("{} x{}", name, plan.gpus.size()),
          plan.version ? to_string(*plan.version) : "unknown"};
}

RepairMachine Mechanic::machine_for(const EnginePlan& plan) {
  RepairMachine machine;
  machine.spare_gpus = plan.gpus.empty() ? 0 : static_cast<int>(free_spare().size());
  if (machine.spare_gpus > 0) {
    const auto wish = wish_of(plan);
    const PlanReport report = wish ? plan_model(*wish, environment_of(plan)) : PlanReport();
    if (wish && report.not_planned.empty()) {
      machine.allowed_parallel = report.plan.allowed_tensor_parallel;
    }
  }
  const auto gpus = gpus_of(plan);
  if (gpus && !gpus->empty()) {
    machine.gpu_total_gib = static_cast<double>(gpus->front().total) / kBytesOfGib;
  }
  return machine;
}

// More of them, or others. What the plan had fitted to those before holds no more where they are
// more.
void Mechanic::change_gpus(const Repair& repair, EnginePlan& plan, Care& care) {
  if (repair.kind != RepairKind::kOtherGpus) {
    if (plan.backend < fitted_.size()) fitted_[plan.backend].clear();
    return give_enough_gpus(plan, care);
  }
  // Those that it leaves did not do: they are no spare ones for others.
  move(plan, care, take_spare(plan.gpus.size()));
}

// --- before the first start ---------------------------------------------------------------------

std::vector<std::string> Mechanic::prepare(EnginePlan& plan) {
  std::vector<std::string> said;
  if (!may_change(plan)) return said;
  Care& its = care_of(plan);
  for (const std::string& sentence : its.repairs.sentences()) {
    said.push_back(plan.name + ", as in an earlier run: " + sentence);
  }
  give_enough_gpus(plan, its);
  if (!its.moved.empty()) said.push_back(plan.name + ", as in an earlier run: " + its.moved);
  take(its.repairs.subject(), plan);
  fit_to_memory(plan, said);
  take(its.repairs.subject(), plan);
  return said;
}

// What the plan sets is what neither the user nor a remembered repair has.
void Mechanic::fit_to_memory(EnginePlan& plan, std::vector<std::string>& said) {
  const auto gpus = gpus_of(plan);
  if (engine_ != "vllm" || plan.gpus.empty() || !gpus) return;
  const std::vector<std::string>& argv = care_of(plan).repairs.subject().argv;
  auto wish = wish_of(plan);
  if (!wish) return;
  if (const auto context = flag_number(argv, kContextFlag); context && *context > 0) {
    wish->flags.max_model_len = std::llround(*context);
  }
  if (const auto sequences = flag_number(argv, kSequencesFlag)) {
    wish->flags.max_num_seqs = std::llround(*sequences);
  }
  wish->learned = read_learned(learned_path_).learned;
  const PlanReport report = plan_model(*wish, environment_of(plan));
  if (!report.not_planned.empty()) return;
  if (!report.plan.fits()) {
    for (const std::string& problem : report.plan.problems) {
      said.push_back(plan.name + " is not expected to start: " + problem);
    }
    return;
  }
  if (plan.backend >= fitted_.size()) fitted_.resize(plan.backend + 1);
  FittedFlags& fitted = fitted_[plan.backend];
  if (report.shortened_from > 0) {
    const std::string tokens = std::to_string(*report.flags.max_model_len);
    fitted.push_back({std::string(kContextFlag), tokens,
                      fmt::format("max_model_len {} -> {}: no longer context fits the memory of "
                                  "its GPUs",
                                  report.shortened_from, tokens)});
  }
  if (report.plan.limits_sequences) {
    const std::string sequences = std::to_string(report.plan.sizes.max_num_seqs);
    fitted.push_back(
        {std::string(kSequencesFlag), sequences,
         fmt::format("max_num_seqs {} -> {}: each running request takes a block of "
                     "the recurrent layers' states, and no more fit",
                     batch_sizes(report.flags, report.plan.gpu).max_num_seqs, sequences)});
  }
  for (const FittedFlag& each : fitted) said.push_back(plan.name + ": " + each.sentence);
}

// --- after a start ------------------------------------------------------------------------------

FailureReport Mechanic::after_failed_start(EnginePlan& plan, std::uint64_t begin) {
  const auto diagnosis = diagnose_file(plan.log_file, begin);
  if (!diagnosis || !diagnosis->has_failed()) return {};
  FailureReport found{.cause = diagnosis->cause,
                      .lines = lines_of(*diagnosis, plan.log_file),
                      .evidence = diagnosis->evidence};
  if (!diagnosis->cause) return found;
  RepairDecision decision;
  if (may_change(plan)) {
    Care& its = care_of(plan);
    decision = its.repairs.on_failed(*diagnosis, machine_for(plan));
    if (decision.repair) {
      std::string sentence = decision.repair->sentence;
      if (decision.repair->gpus_wanted > 0) {
        change_gpus(*decision.repair, plan, its);
        sentence += "; " + its.moved;
      }
      take(its.repairs.subject(), plan);
      found.lines.push_back("repair: " + sentence);
      found.is_repaired = true;
      return found;
    }
  }
  if (!decision.reason.empty()) found.lines.push_back("no repair: " + decision.reason);
  int number = 0;
  for (const std::string& line : suggestions(plan, *diagnosis)) {
    found.lines.push_back(fmt::format("{}. {}", ++number, line));
  }
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
          static_cast<std::int64_t>(*diagnosis.figures.available_gib * kBytesOfGib);
      const PlanReport report = plan_model(*wish, environment_of(plan));
      for (const Suggestion& suggestion : report.suggestions) {
        lines.push_back(describe(suggestion));
      }
    }
  }
  if (!lines.empty()) return lines;
  return advice_for(*diagnosis.cause, diagnosis.figures);
}

FailureReport Mechanic::after_death(const EnginePlan& plan, std::uint64_t begin) const {
  const auto diagnosis = diagnose_file(plan.log_file, begin);
  if (!diagnosis || !diagnosis->cause) return {};
  return {.cause = diagnosis->cause,
          .lines = lines_of(*diagnosis, plan.log_file),
          .evidence = diagnosis->evidence};
}

std::vector<std::string> Mechanic::after_good_start(const EnginePlan& plan, std::uint64_t begin) {
  std::vector<std::string> said;
  if (may_change(plan)) {
    for (const RememberedRepair& repair : care_of(plan).repairs.on_ready()) {
      if (repairs_path_.empty()) break;
      const std::string warning = remember_repair(repairs_path_, care_of(plan).key, repair);
      if (!warning.empty()) said.push_back(warning);
    }
  }
  if (learned_path_.empty()) return said;
  const auto gpus = gpus_of(plan);
  if (engine_ != "vllm" || plan.gpus.empty() || !gpus) return said;
  const auto wish = wish_of(plan);
  if (!wish) return said;
  const PlanReport report = plan_model(*wish, environment_of(plan));
  const std::string warning = learn_from_log(learned_path_, report, plan.log_file, begin);
  if (!warning.empty()) said.push_back(warning);
  return said;
}

}  // namespace batchproxy
