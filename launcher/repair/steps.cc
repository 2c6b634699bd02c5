// launcher/repair/steps.cc - single changes of flags and variables, and which cause calls
// for which of them.
#include "launcher/repair/steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "launcher/repair/flags.h"

namespace batchproxy {
namespace {

constexpr std::string_view kModelLen = "--max-model-len";
constexpr std::string_view kSeqs = "--max-num-seqs";
constexpr std::string_view kBatched = "--max-num-batched-tokens";
constexpr std::string_view kUtilizationFlag = "--gpu-memory-utilization";
constexpr std::string_view kParallel = "--tensor-parallel-size";
constexpr std::string_view kStages = "--pipeline-parallel-size";

constexpr double kHighestUtilization = 0.95;
constexpr double kLowestUtilization = 0.3;
constexpr double kUtilizationStep = 0.05;
constexpr double kFewestSequences = 8;
constexpr double kFewestBatchedTokens = 512;
// What smaller batches can free at most, about.
constexpr double kActivationGib = 2;

std::string whole(double number) {
  return std::to_string(std::llround(number));
}

std::string brief(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", number);
  return text.data();
}

Repair changing_flag(const RepairCase& its, RepairKind kind, std::string_view flag,
                     std::string after, const std::string& why) {
  Repair repair;
  repair.kind = kind;
  const auto before = flag_value(its.subject.argv, flag);
  std::string name(flag.substr(2));
  std::ranges::replace(name, '-', '_');
  repair.sentence = name + (before ? " " + *before : "") + " -> " + after + ": " + why;
  repair.changes.push_back({false, std::string(flag), before, std::move(after)});
  return repair;
}

// Nothing if it is set so.
std::optional<Repair> setting_variable(const RepairCase& its, RepairKind kind,
                                       const std::string& name, const std::string& after,
                                       const std::string& why) {
  Repair repair;
  repair.kind = kind;
  std::optional<std::string> before;
  if (const auto set = its.subject.environment.find(name); set != its.subject.environment.end()) {
    before = set->second;
  }
  if (before == after) return std::nullopt;
  repair.changes.push_back({true, name, before, after});
  repair.sentence = name + "=" + after + ": " + why;
  return repair;
}

std::optional<Repair> wait(const RepairCase& its) {
  Repair repair;
  repair.sentence = "start it again: " + std::string(describe(its.cause).what);
  return repair;
}

std::optional<Repair> fewer_by_mamba_blocks(const RepairCase& its) {
  const auto& blocks = its.figures.most_sequences;
  if (!blocks || *blocks < kFewestSequences) return std::nullopt;
  return changing_flag(
      its, RepairKind::kMambaBlocks, kSeqs, whole(*blocks),
      "the model needs one state block for each running request, and " + whole(*blocks) + " fit");
}

std::optional<Repair> shorter_context(const RepairCase& its) {
  const auto fitting = fitting_context(its.figures);
  if (its.subject.is_context_pinned || !fitting || *fitting < its.options.smallest_context) {
    return std::nullopt;
  }
  if (its.figures.context && *fitting >= *its.figures.context) return std::nullopt;
  const std::string why =
      its.figures.needed_gib && its.figures.available_gib
          ? "the KV cache has " + brief(*its.figures.available_gib) + " GiB, and a request of " +
                whole(its.figures.context.value_or(0)) + " tokens needs " +
                brief(*its.figures.needed_gib) + " GiB; longer requests are refused from now on"
          : "that is what the model and the memory allow; longer requests are refused from now on";
  return changing_flag(its, RepairKind::kContext, kModelLen, whole(*fitting), why);
}

std::string utilization_text(double utilization) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.2f", utilization);
  return text.data();
}

std::optional<Repair> to_utilization(const RepairCase& its, double utilization,
                                     const std::string& why) {
  if (its.subject.is_utilization_pinned || utilization < kLowestUtilization) return std::nullopt;
  if (std::abs(utilization - its.utilization()) < 0.005) return std::nullopt;
  return changing_flag(its, RepairKind::kUtilization, kUtilizationFlag,
                       utilization_text(utilization), why);
}

// Upwards, as far as is safe. Where the line says how much is missing, only if that brings it.
std::optional<Repair> more_utilization(const RepairCase& its) {
  const double more = kHighestUtilization - its.utilization();
  if (more < 0.005) return std::nullopt;
  if (its.figures.needed_gib &&
      more * its.machine.gpu_total_gib.value_or(0) * its.gpus() < its.missing_gib()) {
    return std::nullopt;
  }
  return to_utilization(its, kHighestUtilization, "the KV cache needs more of the GPU's memory");
}

std::optional<Repair> less_utilization(const RepairCase& its) {
  return to_utilization(its, its.utilization() - kUtilizationStep,
                        "what is beside the KV cache needs more memory than vLLM had guessed");
}

std::optional<Repair> utilization_of_free(const RepairCase& its) {
  const auto fitting = fitting_utilization(its.figures);
  if (!fitting || *fitting >= its.utilization()) return std::nullopt;
  return to_utilization(its, *fitting,
                        "only " + brief(*its.figures.free_gib) + " of " +
                            brief(*its.figures.total_gib) +
                            " GiB are free; somebody else holds the rest");
}

// Batches that are smaller free activations, not gigabytes.
bool may_help_with_activations(const RepairCase& its) {
  return !its.figures.needed_gib || its.missing_gib() <= kActivationGib;
}

std::optional<Repair> fewer_sequences(const RepairCase& its) {
  const double now = flag_number(its.subject.argv, kSeqs)
                         .value_or(its.figures.sequences.value_or(its.machine.default_sequences));
  const double half = std::floor(now / 2);
  if (its.subject.is_sequences_pinned || half < kFewestSequences ||
      !may_help_with_activations(its)) {
    return std::nullopt;
  }
  return changing_flag(its, RepairKind::kSequences, kSeqs, whole(half),
                       "fewer requests at once need less memory");
}

std::optional<Repair> fewer_batched_tokens(const RepairCase& its) {
  const double now =
      flag_number(its.subject.argv, kBatched).value_or(its.machine.default_batched_tokens);
  const double half = std::floor(now / 2);
  // vLLM refuses fewer tokens a step than requests at once.
  const double least =
      std::max(kFewestBatchedTokens,
               flag_number(its.subject.argv, kSeqs).value_or(its.machine.default_sequences));
  if (its.subject.is_batched_pinned || half < least || !may_help_with_activations(its)) {
    return std::nullopt;
  }
  return changing_flag(its, RepairKind::kBatchedTokens, kBatched, whole(half),
                       "fewer tokens in a step need less memory");
}

std::optional<Repair> without_flashinfer_sampler(const RepairCase& its) {
  return setting_variable(its, RepairKind::kSampler, "VLLM_USE_FLASHINFER_SAMPLER", "0",
                          "the sampler of FlashInfer wants a CUDA compiler that fits");
}

std::optional<Repair> without_peer_to_peer(const RepairCase& its) {
  if (its.gpus() < 2) return std::nullopt;
  auto repair = setting_variable(its, RepairKind::kPeerToPeer, "NCCL_P2P_DISABLE", "1",
                                 "the GPUs could not talk to each other directly");
  if (!repair) return std::nullopt;
  constexpr std::string_view kCustom = "--disable-custom-all-reduce";
  repair->sentence = "disable_custom_all_reduce, " + repair->sentence;
  repair->changes.push_back(
      {false, std::string(kCustom), flag_value(its.subject.argv, kCustom), ""});
  return repair;
}

std::optional<Repair> spawned_workers(const RepairCase& its) {
  return setting_variable(its, RepairKind::kSpawn, "VLLM_WORKER_MULTIPROC_METHOD", "spawn",
                          "CUDA was in use before the workers were forked");
}

std::optional<Repair> to_parallel(const RepairCase& its, int gpus, const std::string& why) {
  Repair repair =
      changing_flag(its, RepairKind::kTensorParallel, kParallel, std::to_string(gpus), why);
  repair.gpus_wanted = gpus * static_cast<int>(flag_number(its.subject.argv, kStages).value_or(1));
  return repair;
}

constexpr const char* kTooSmallGpu = "one GPU's memory is too small for its share of the model";

bool may_have_twice(const RepairCase& its) {
  return !its.subject.is_parallel_pinned && its.machine.spare_gpus >= its.gpus();
}

// Twice as many, if that many are to be had and the model can be divided among them.
std::optional<Repair> more_gpus(const RepairCase& its) {
  const int twice = 2 * static_cast<int>(flag_number(its.subject.argv, kParallel).value_or(1));
  const auto& allowed = its.machine.allowed_parallel;
  if (!may_have_twice(its) || (allowed && std::ranges::count(*allowed, twice) == 0)) {
    return std::nullopt;
  }
  return to_parallel(its, twice, kTooSmallGpu);
}

// Where the model cannot be divided so, each GPU gets some of its layers.
std::optional<Repair> more_stages(const RepairCase& its) {
  const int stages = 2 * static_cast<int>(flag_number(its.subject.argv, kStages).value_or(1));
  if (!may_have_twice(its)) return std::nullopt;
  Repair repair =
      changing_flag(its, RepairKind::kPipeline, kStages, std::to_string(stages), kTooSmallGpu);
  repair.gpus_wanted = 2 * its.gpus();
  return repair;
}

std::optional<Repair> other_gpus(const RepairCase& its) {
  if (its.machine.spare_gpus < its.gpus()) return std::nullopt;
  Repair repair;
  repair.kind = RepairKind::kOtherGpus;
  repair.gpus_wanted = its.gpus();
  repair.sentence = "other GPUs: somebody else holds memory of those that it had";
  return repair;
}

// The largest number of GPUs below what was asked that divides the model.
std::optional<Repair> dividing_gpus(const RepairCase& its) {
  if (its.subject.is_parallel_pinned || !its.figures.parts || !its.figures.ranks) {
    return std::nullopt;
  }
  const auto parts = std::llround(*its.figures.parts);
  for (int gpus = static_cast<int>(*its.figures.ranks) - 1; gpus > 0; --gpus) {
    if (parts % gpus != 0) continue;
    return to_parallel(
        its, gpus, whole(*its.figures.parts) + " is not divisible by " + whole(*its.figures.ranks));
  }
  return std::nullopt;
}

std::optional<Repair> kv_in_fp8(const RepairCase& its) {
  if (!its.options.may_kv_fp8 || flag_value(its.subject.argv, "--kv-cache-dtype")) {
    return std::nullopt;
  }
  return changing_flag(its, RepairKind::kKvFp8, "--kv-cache-dtype", "fp8",
                       "the KV cache in 8 bits holds twice the tokens");
}

std::optional<Repair> weights_on_the_host(const RepairCase& its) {
  if (its.options.cpu_offload_gib <= 0) return std::nullopt;
  return changing_flag(its, RepairKind::kCpuOffload, "--cpu-offload-gb",
                       std::to_string(its.options.cpu_offload_gib),
                       "a part of the weights stays in the host's memory; it is slow");
}

std::optional<Repair> half_precision(const RepairCase& its) {
  const auto dtype = flag_value(its.subject.argv, "--dtype");
  if (dtype && *dtype != "auto") return std::nullopt;
  return changing_flag(its, RepairKind::kArgument, "--dtype", "half", "this GPU has no bfloat16");
}

std::optional<Repair> fp8_by_its_new_name(const RepairCase& its) {
  return changing_flag(its, RepairKind::kArgument, "--quantization", "fp8_per_tensor",
                       "the method has a new name");
}

std::optional<Repair> higher_lora_rank(const RepairCase& its) {
  constexpr std::array kRanks{1, 8, 16, 32, 64, 128, 256, 320, 512};
  const double wanted = its.figures.lora_rank.value_or(0);
  const auto* rank =
      std::ranges::find_if(kRanks, [wanted](int allowed) { return allowed >= wanted; });
  if (wanted <= 0 || rank == kRanks.end()) return std::nullopt;
  return changing_flag(its, RepairKind::kArgument, "--max-lora-rank", std::to_string(*rank),
                       "an adapter has rank " + whole(wanted));
}

std::optional<Repair> sequences_of_batch(const RepairCase& its) {
  if (its.subject.is_sequences_pinned || !its.figures.batched_tokens) return std::nullopt;
  return changing_flag(its, RepairKind::kSequences, kSeqs, whole(*its.figures.batched_tokens),
                       "no more requests at once than tokens in a step");
}

std::optional<Repair> batch_of_context(const RepairCase& its) {
  if (its.subject.is_batched_pinned || !its.figures.context) return std::nullopt;
  return changing_flag(its, RepairKind::kBatchedTokens, kBatched, whole(*its.figures.context),
                       "a prompt that must not be split has to go into one step");
}

constexpr RepairStep kShortOfKv[] = {
    shorter_context, more_utilization, fewer_sequences, fewer_batched_tokens,
    more_gpus,       more_stages,      kv_in_fp8,       weights_on_the_host};
constexpr RepairStep kWithoutKv[] = {more_utilization, fewer_sequences, fewer_batched_tokens,
                                     more_gpus,        more_stages,     weights_on_the_host};
constexpr RepairStep kShortOfFree[] = {wait, utilization_of_free, other_gpus};
constexpr RepairStep kBesideDaemon[] = {wait, less_utilization};
constexpr RepairStep kStartAgain[] = {wait};
constexpr RepairStep kMamba[] = {fewer_by_mamba_blocks, more_utilization, more_gpus};
constexpr RepairStep kSamplerOom[] = {fewer_sequences, less_utilization};
constexpr RepairStep kTooHeavy[] = {more_gpus, more_stages, other_gpus, weights_on_the_host};
constexpr RepairStep kProfileOom[] = {fewer_batched_tokens, fewer_sequences, more_gpus};
constexpr RepairStep kBehindKv[] = {less_utilization, fewer_sequences, more_gpus};
constexpr RepairStep kTooLong[] = {shorter_context};
constexpr RepairStep kUndivided[] = {dividing_gpus};
constexpr RepairStep kOldGpu[] = {half_precision};
constexpr RepairStep kCompiler[] = {without_flashinfer_sampler};
constexpr RepairStep kTalk[] = {without_peer_to_peer, wait};
constexpr RepairStep kStuck[] = {without_peer_to_peer};
constexpr RepairStep kForked[] = {spawned_workers};
constexpr RepairStep kRenamed[] = {fp8_by_its_new_name};
constexpr RepairStep kRank[] = {higher_lora_rank};
constexpr RepairStep kMoreSeqs[] = {sequences_of_batch};
constexpr RepairStep kLongPrompt[] = {batch_of_context};

}  // namespace

double RepairCase::utilization() const {
  return flag_number(subject.argv, kUtilizationFlag).value_or(machine.default_utilization);
}

int RepairCase::gpus() const {
  return static_cast<int>(flag_number(subject.argv, kParallel).value_or(1) *
                          flag_number(subject.argv, kStages).value_or(1));
}

double RepairCase::missing_gib() const {
  return figures.needed_gib.value_or(0) - figures.available_gib.value_or(0);
}

std::span<const RepairStep> repair_steps_for(Cause cause) {
  switch (cause) {
    case Cause::kKvTooSmall:
    case Cause::kKvTooSmallV0:
      return kShortOfKv;
    case Cause::kKvNone:
      return kWithoutKv;
    case Cause::kFreeMemory:
      return kShortOfFree;
    case Cause::kExternalWeights:
      return kBesideDaemon;
    case Cause::kMambaBlocks:
      return kMamba;
    case Cause::kOomSampler:
      return kSamplerOom;
    case Cause::kOomWeights:
    case Cause::kOomLoad:
      return kTooHeavy;
    case Cause::kOomProfile:
      return kProfileOom;
    case Cause::kOomGraphs:
    case Cause::kOom:
    case Cause::kCublasAlloc:
      return kBehindKv;
    case Cause::kLenGtDerived:
      return kTooLong;
    case Cause::kHeadsTp:
    case Cause::kVocabTp:
      return kUndivided;
    case Cause::kBf16Unsupported:
      return kOldGpu;
    case Cause::kNoNvcc:
    case Cause::kJitBuild:
      return kCompiler;
    case Cause::kQuantFp8Online:
      return kRenamed;
    case Cause::kLoraRank:
      return kRank;
    case Cause::kBatchedLtLen:
      return kLongPrompt;
    case Cause::kBatchedLtSeqs:
      return kMoreSeqs;
    case Cause::kCudaFork:
      return kForked;
    case Cause::kNccl:
      return kTalk;
    case Cause::kSlowOrHung:
      return kStuck;
    case Cause::kMemoryGrew:
    case Cause::kPortInUse:
    case Cause::kPortInUse2:
    case Cause::kCrashed:
      return kStartAgain;
    case Cause::kVllmPortUri:
    case Cause::kDiskFull:
    case Cause::kFdLimit:
    case Cause::kShmSmall:
    case Cause::kWorldGtGpus:
    case Cause::kDeviceIds:
    case Cause::kGated:
    case Cause::kArchInspect:
    case Cause::kArchRemoved:
    case Cause::kTrustRemoteCode:
    case Cause::kModelNotFound:
    case Cause::kArchUnsupported:
    case Cause::kHubUnreachable:
    case Cause::kNoDriver:
    case Cause::kKernelImage:
    case Cause::kKernelImage2:
    case Cause::kQuantUnknown:
    case Cause::kQuantMismatch:
    case Cause::kQuantGpu:
    case Cause::kQuantDtype:
    case Cause::kLoraUnsupported:
    case Cause::kChatTemplate:
    case Cause::kAttentionBackend:
    case Cause::kWeightsMismatch:
    case Cause::kWeightsBroken:
    case Cause::kRayMissing:
    case Cause::kRayPlacement:
    case Cause::kReadyTimeout:
    case Cause::kBadUuidDevices:
    case Cause::kBadArgs:
    case Cause::kFileMissing:
    case Cause::kImportError:
    case Cause::kConfigError:
    case Cause::kKilled:
    case Cause::kCount:
      break;
  }
  return {};
}

}  // namespace batchproxy
