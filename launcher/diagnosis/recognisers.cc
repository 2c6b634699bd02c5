// launcher/diagnosis/recognisers.cc - vLLM's sentences of failure, those of all versions since 0.6
// side by side. They are facts of its wording; the words between the figures decide.
#include "launcher/diagnosis/recognisers.h"

#include <algorithm>
#include <array>
#include <optional>

#include "launcher/diagnosis/shape.h"

namespace batchproxy {
namespace {

using Figure = std::optional<double> Figures::*;
using F = Figures;

struct Recogniser {
  Cause cause;
  std::string_view shape;        // see shape.h
  std::array<Figure, 5> into{};  // where its numbers go, in order; null: nowhere
  std::string_view more{};       // looked for behind it; the line counts without it, too
  Figure more_into{};
  bool is_of_host = false;
};

constexpr Recogniser kRecognisers[] = {
    {Cause::kVllmPortUri, "VLLM_PORT '@' appears to be a URI"},
    {Cause::kVllmPortUri, "VLLM_PORT '@' must be a valid integer"},
    // NCCL's; a full disk is told in almost the same words.
    {Cause::kShmSmall, "No space left on device (28), Error while creating shared memory segment"},
    {Cause::kDiskFull, "No space left on device"},
    {Cause::kDiskFull, "[Errno 122] Disk quota exceeded"},
    {Cause::kFdLimit, "[Errno 24] Too many open files"},
    {Cause::kFdLimit, "ulimit: Too many open files"},
    {Cause::kShmSmall,
     "Insufficient space in @ for *: # MiB required, # MiB free",
     {&F::needed_mib, &F::free_mib}},
    {Cause::kShmSmall,
     "Insufficient space in @: # MiB required, # MiB free",
     {&F::needed_mib, &F::free_mib}},

    {Cause::kKvTooSmall,
     "max seq len (#), (# G*B KV cache is needed, which is larger than the available KV cache "
     "memory (# G",
     {&F::context, &F::needed_gib, &F::available_gib},
     "estimated maximum model length is #",
     &F::longest_context},
    {Cause::kKvTooSmall,
     "max seq len (#), # G*B KV cache is needed, which is larger than the available KV cache "
     "memory (# G",
     {&F::context, &F::needed_gib, &F::available_gib},
     "estimated maximum model length is #",
     &F::longest_context},
    {Cause::kKvTooSmallV0,
     "max seq len (#) is larger than the maximum number of tokens that can be stored in KV cache "
     "(#)",
     {&F::context, &F::longest_context}},
    {Cause::kKvNone, "No available memory for the cache blocks"},
    {Cause::kKvNone, "Cannot auto-fit max_model_len"},
    {Cause::kFreeMemory,
     "Free memory on device *(#/# GiB) on startup is less than desired GPU memory utilization (#, "
     "# GiB)",
     {&F::free_gib, &F::total_gib, &F::utilization, &F::wanted_gib}},
    {Cause::kFreeMemory, "is less than desired GPU memory utilization"},
    // The CPU backend's.
    {Cause::kFreeMemory,
     "Available memory on node *(#/# GiB) on kv cache allocation is less than requested memory "
     "for kv (# GiB)",
     {&F::free_gib, &F::total_gib, &F::wanted_gib}},
    {Cause::kExternalWeights, "Externally held weights on device"},
    {Cause::kExternalWeights, "is less than the engine's budget after excluding"},
    {Cause::kMemoryGrew, "Error in memory profiling. Initial free memory"},
    {Cause::kMambaBlocks,
     "max_num_seqs (#) exceeds available Mamba cache blocks (#)",
     {&F::sequences, &F::most_sequences}},
    {Cause::kOomSampler,
     "CUDA out of memory occurred when warming up sampler with # dummy requests",
     {&F::sequences}},
    {Cause::kOomSampler,
     "CUDA out of memory occurred when warming up pooler*with # dummy requests",
     {&F::sequences}},
    {Cause::kOomSampler, "CUDA out of memory occurred when warming up "},
    {Cause::kOomWeights, "Failed to load model - not enough GPU memory"},
    {Cause::kOom, "OutOfMemoryError"},
    {Cause::kOom, "CUDA error: out of memory"},
    {Cause::kOom, "CUDA out of memory"},
    {Cause::kOom, "HIP out of memory"},
    {Cause::kOom, "cudaErrorMemoryAllocation"},
    // The host's.
    {.cause = Cause::kOom,
     .shape = "can't allocate memory: you tried to allocate",
     .is_of_host = true},
    {.cause = Cause::kOom, .shape = "[Errno 12] Cannot allocate memory", .is_of_host = true},
    {Cause::kCublasAlloc, "CUBLAS_STATUS_ALLOC_FAILED"},
    {Cause::kCublasAlloc, "CUBLAS_STATUS_NOT_INITIALIZED"},

    {Cause::kLenGtDerived,
     "User-specified max_model_len (#) is greater than the derived max_model_len",
     {&F::context},
     "=#",
     &F::longest_context},
    {Cause::kHeadsTp,
     "Total number of attention heads (#) must be divisible by tensor parallel size (#)",
     {&F::parts, &F::ranks}},
    {Cause::kVocabTp, "AssertionError: # is not divisible by #", {&F::parts, &F::ranks}},
    {Cause::kWorldGtGpus,
     "World size (#) is larger than the number of available GPUs (#)",
     {&F::ranks, &F::gpus}},
    {Cause::kWorldGtGpus, "adjusted local rank # is out of bounds"},
    {Cause::kWorldGtGpus, "Ray does not allocate any GPUs"},
    {Cause::kWorldGtGpus, "The number of required GPUs exceeds the total"},
    {Cause::kWorldGtGpus, "CUDA error: invalid device ordinal"},
    // The CPU backend's.
    {Cause::kWorldGtGpus,
     "Not enough allowed NUMA nodes to bind threads of # local CPUWorkers",
     {&F::ranks}},
    {Cause::kDeviceIds, "--device-ids provides # devices, but DP rank", {&F::gpus}},
    {Cause::kDeviceIds, "local_rank # is out of bounds for assigned_physical_gpu_ids"},
    {Cause::kDeviceIds, "--device-ids index # is out of range"},
    {Cause::kDeviceIds, "is not visible in *VISIBLE_DEVICES"},
    {Cause::kBf16Unsupported, "Bfloat16 is only supported on GPUs with compute capability"},
    {Cause::kGated, "gated repo"},
    {Cause::kGated, "GatedRepoError"},
    {Cause::kGated, "401 Client Error*huggingface"},
    {Cause::kGated, "403 Client Error*huggingface"},
    {Cause::kArchInspect, "Model architectures [@] failed to be inspected"},
    {Cause::kArchRemoved, "Model architecture @ was supported in vLLM until v"},
    {Cause::kArchRemoved, "Model architecture @ is not supported in-tree anymore"},
    {Cause::kTrustRemoteCode, "Failed to load the model config. If the model is a custom"},
    {Cause::kTrustRemoteCode, "Failed to load the tokenizer. If the tokenizer is a custom"},
    {Cause::kTrustRemoteCode, "requires you to execute the configuration file"},
    {Cause::kTrustRemoteCode, "requires you to execute the tokenizer file"},
    {Cause::kTrustRemoteCode, "contains custom code which must be executed"},
    {Cause::kModelNotFound, "Invalid repository ID or local directory specified: '@'"},
    {Cause::kModelNotFound, "RepositoryNotFoundError"},
    {Cause::kModelNotFound, "is not a local folder and is not a valid model identifier"},
    {Cause::kModelNotFound, "Cannot find any model weights with `@`"},
    {Cause::kModelNotFound, "Cannot find any model weights with"},
    {Cause::kModelNotFound, "HFValidationError: Repo id must"},
    {Cause::kModelNotFound, "RevisionNotFoundError"},
    {Cause::kArchUnsupported, "Model architectures [@] *not supported for now"},
    {Cause::kArchUnsupported, "Transformers does not recognize this architecture"},
    {Cause::kArchUnsupported, "is not supported by vLLM"},
    {Cause::kArchUnsupported, "is not supported by Transformers"},
    {Cause::kArchUnsupported, "has no vLLM implementation"},
    {Cause::kHubUnreachable, "We couldn't connect to 'http"},
    {Cause::kHubUnreachable, "LocalEntryNotFoundError"},
    {Cause::kHubUnreachable, "OfflineModeIsEnabled"},
    {Cause::kNoDriver, "Found no NVIDIA driver on your system"},
    {Cause::kNoDriver, "driver on your system is too old"},
    {Cause::kNoDriver, "Failed to infer device type"},
    {Cause::kNoDriver, "No CUDA GPUs are available"},
    {Cause::kNoDriver, "no CUDA-capable device is detected"},
    {Cause::kNoDriver, "CUDA driver version is insufficient"},
    {Cause::kKernelImage, "no kernel image is available for execution"},
    {Cause::kKernelImage, "CUDA error: invalid device function"},
    {Cause::kKernelImage, "CUDA error: invalid device"},
    {Cause::kKernelImage, "CUDA error: unspecified launch failure"},
    {Cause::kKernelImage, "CUDA error: an illegal memory access"},
    {Cause::kKernelImage, "CUDA error: uncorrectable ECC error"},
    {Cause::kKernelImage2, "device kernel image is invalid"},
    {Cause::kKernelImage2, "PTX was compiled with an unsupported toolchain"},
    {Cause::kKernelImage2, "provided PTX was compiled"},
    {Cause::kNoNvcc, "Could not find nvcc"},
    {Cause::kNoNvcc, "No such file or directory: 'nvcc'"},
    {Cause::kNoNvcc, "nvcc: not found"},
    {Cause::kNoNvcc, "nvcc: No such file or directory"},
    {Cause::kNoNvcc, "nvcc: command not found"},
    {Cause::kNoNvcc, "CUDA_HOME environment variable is not set"},
    {Cause::kJitBuild, "nvcc fatal"},
    {Cause::kJitBuild, "ninja: build stopped"},
    {Cause::kJitBuild, "Ninja build failed"},
    {Cause::kJitBuild, ":/usr/local/cuda*/bin/nvcc"},
    {Cause::kJitBuild, "Error building extension"},
    {Cause::kQuantUnknown, "Unknown quantization method: @."},
    {Cause::kQuantUnknown, "Unknown quantization method: @"},
    {Cause::kQuantMismatch, "Quantization method specified in the model config (@) does not match"},
    {Cause::kQuantFp8Online, "`fp8` quantization method no longer supports online quantization"},
    {Cause::kQuantGpu, "quantization method @ is not supported for the current GPU"},
    {Cause::kQuantGpu, "Quantization scheme is not supported for the current GPU"},
    {Cause::kQuantDtype, "is not supported for quantization method *. Supported dtypes: [@]"},
    {Cause::kLoraRank,
     "LoRA rank # is greater than max_lora_rank #",
     {&F::lora_rank, &F::max_lora_rank}},
    {Cause::kLoraUnsupported, "LoRA is not supported for @"},
    {Cause::kLoraUnsupported, "does not support LoRA"},
    {Cause::kChatTemplate, "chat template path doesn't exist"},
    {Cause::kChatTemplate, "chat template string (@) appears path-like, but doesn't exist"},
    {Cause::kChatTemplate, "ChatTemplateResolutionError"},
    {Cause::kBatchedLtLen,
     "max_num_batched_tokens (#) is smaller than max_model_len (#)",
     {&F::batched_tokens, &F::context}},
    {Cause::kBatchedLtSeqs,
     "max_num_batched_tokens (#) must be greater than or equal to max_num_seqs (#)",
     {&F::batched_tokens, &F::sequences}},
    {Cause::kAttentionBackend, "Unknown attention backend: '@'"},
    {Cause::kAttentionBackend, "No valid attention backend found"},
    {Cause::kAttentionBackend, "Invalid attention backend for "},
    {Cause::kAttentionBackend, "Invalid value '@' for VLLM_ATTENTION_BACKEND"},
    {Cause::kWeightsMismatch, "KeyError: '@.weight'"},
    {Cause::kWeightsMismatch, "KeyError: '@.bias'"},
    {Cause::kWeightsMismatch, "KeyError: '@.k_scale'"},
    {Cause::kWeightsMismatch, "KeyError: '@.v_scale'"},
    {Cause::kWeightsMismatch, "KeyError: '@.weight_scale"},
    {Cause::kWeightsMismatch, "KeyError: 'layers."},
    {Cause::kWeightsMismatch, "KeyError: 'model.layers."},
    {Cause::kWeightsMismatch, "There is no module or parameter named"},
    {Cause::kWeightsMismatch, "size mismatch for"},
    {Cause::kWeightsMismatch, "Missing key(s) in state_dict"},
    {Cause::kWeightsMismatch, "weights were not initialized from checkpoint"},
    {Cause::kWeightsMismatch, "RuntimeError: start (#) + length (#) exceeds dimension size (#)"},
    {Cause::kWeightsMismatch, "AssertionError: Attempted to load weight (*into parameter ("},
    {Cause::kWeightsBroken, "SafetensorError"},
    {Cause::kWeightsBroken, "Error while deserializing header"},
    {Cause::kWeightsBroken, "PytorchStreamReader failed"},
    {Cause::kRayMissing, "Failed to import Ray"},
    {Cause::kRayPlacement, "Cannot provide a placement group requiring # GPUs", {&F::ranks}},
    {Cause::kRayPlacement, "Cannot provide a placement group of placement_group_specs"},
    {Cause::kCudaFork, "Cannot re-initialize CUDA in forked subprocess"},
    {Cause::kCudaFork, "An attempt has been made to start a new process before the"},

    {Cause::kNccl, "NCCL error: @("},
    {Cause::kNccl, "NCCL error"},
    {Cause::kNccl, "DistBackendError"},
    {Cause::kPortInUse, "Address already in use"},
    {Cause::kPortInUse, "EADDRINUSE"},
    {Cause::kPortInUse2, "error while attempting to bind on address"},
    {Cause::kPortInUse2, "code: -98"},
    {Cause::kPortInUse2, "[Errno 98]"},
    {Cause::kReadyTimeout, "Timed out waiting for engine core"},
    {Cause::kBadUuidDevices, "invalid literal for int() with base 10: 'GPU-"},
    {Cause::kBadUuidDevices, "invalid literal for int() with base 10: 'MIG-"},
    {Cause::kFileMissing, "FileNotFoundError: [Errno 2] No such file or directory: '@'"},
    {Cause::kImportError, "ImportError: @"},
    {Cause::kImportError, "ModuleNotFoundError: @"},
    {Cause::kConfigError, "ValidationError: # validation error"},
    {Cause::kConfigError, "is not a valid JSON file"},
};

struct Status {
  Cause cause;
  std::string_view shape;
};

// What became of a process, in numbers: those below 0 are signals.
constexpr Status kStatuses[] = {
    {Cause::kKilled, "-9"},  {Cause::kCrashed, "-11"}, {Cause::kCrashed, "-6"},
    {Cause::kCrashed, "-4"}, {Cause::kCrashed, "-7"},
};

// "Failed core proc(s): {'EngineCore': -9}", "died unexpectedly (exit code: -11)".
Cause cause_by_status(std::string_view text) {
  std::string_view statuses;
  if (const auto at = text.find("Failed core proc(s): {"); at != std::string_view::npos) {
    statuses = text.substr(at);
  } else if (const auto died = text.find("died unexpectedly (exit code: ");
             died != std::string_view::npos) {
    statuses = text.substr(died);
  }
  for (const Status& status : kStatuses) {
    const auto at = statuses.find(": " + std::string(status.shape));
    if (at == std::string_view::npos) continue;
    const std::string_view rest = statuses.substr(at + 2 + status.shape.size());
    if (rest.starts_with('}') || rest.starts_with(',') || rest.starts_with(')')) {
      return status.cause;
    }
  }
  return Cause::kCount;
}

// argparse's "PROGRAM [COMMAND]: error: ...", at the line's beginning.
bool is_usage_error(std::string_view text) {
  constexpr std::array<std::string_view, 4> kPrograms{"vllm", "api_server.py", "__main__.py",
                                                      "sim-engine"};
  return std::ranges::any_of(
             kPrograms, [text](std::string_view program) { return text.starts_with(program); }) &&
         text.substr(0, 64).find(": error: ") != std::string_view::npos;
}

void fill(Figures& figures, const Recogniser& recogniser, const Match& found,
          std::string_view text) {
  for (std::size_t i = 0; i < found.count; ++i) {
    if (recogniser.into[i] != nullptr) figures.*recogniser.into[i] = found.numbers[i];
  }
  figures.name = found.text;
  figures.is_of_host = recogniser.is_of_host;
  if (recogniser.more.empty()) return;
  if (const auto more = match(text.substr(found.end), recogniser.more)) {
    figures.*recogniser.more_into = more->numbers[0];
  }
}

constexpr std::array<std::string_view, 16> kWrappers{
    "EngineCore failed to start",
    "WorkerProc failed to start",
    "WorkerProc initialization failed due to an exception",
    "Engine core initialization failed",
    "Engine process failed to start",
    "EngineCore hit an exception",
    "died unexpectedly",
    "Frontend process failed during engine core initialization",
    "BrokenPipeError",
    "ConnectionResetError",
    "destroy_process_group() was not called",
    "Parent process exited, terminating worker",
    "RuntimeError: cancelled",
    "CancelledError",
    "KeyboardInterrupt",
    "SystemExit",
};

constexpr std::array<std::string_view, 10> kDeaths{
    "engine core exited unexpectedly",
    "EngineDeadError",
    "EngineCore encountered",
    "Engine core proc",
    "Failed core proc(s)",
    "died unexpectedly",
    "AsyncEngineDeadError",
    "MQEngineDeadError",
    "Background loop has errored",
    "AsyncLLM output_handler failed",
};

constexpr std::string_view kStall = "No available shared memory broadcast block found in ";

}  // namespace

Recognised recognise(const LogLine& line) {
  if (line.level != LogLevel::kNone && line.level != LogLevel::kError) return {};
  if (is_code(line.text)) return {};
  if (is_usage_error(line.text)) return {Cause::kBadArgs};
  for (const Recogniser& recogniser : kRecognisers) {
    const auto found = match(line.text, recogniser.shape);
    if (!found) continue;
    Recognised recognised{recogniser.cause};
    fill(recognised.figures, recogniser, *found, line.text);
    return recognised;
  }
  return {cause_by_status(line.text)};
}

Sign sign_in(const LogLine& line) {
  const auto has = [&line](std::string_view words) {
    return line.text.find(words) != std::string_view::npos;
  };
  if (line.level == LogLevel::kInfo) return has(kStall) ? Sign::kStall : Sign::kNone;
  if (line.level == LogLevel::kDebug || is_code(line.text)) return Sign::kNone;
  if (std::ranges::any_of(kDeaths, has)) return Sign::kDeath;
  if (std::ranges::any_of(kWrappers, has)) return Sign::kWrapper;
  return has(kStall) ? Sign::kStall : Sign::kNone;
}

}  // namespace batchproxy
