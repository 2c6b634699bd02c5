// launcher/diagnosis/cause.cc - the table of causes.
#include "launcher/diagnosis/cause.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

namespace batchproxy {
namespace {

constexpr EnumTable<CauseRow> kCauses({
    {Cause::kVllmPortUri,
     "vllm_port_uri",
     "The variable VLLM_PORT holds a URL, as Kubernetes sets it for a service named \"vllm\".",
     {"Unset VLLM_PORT, or name the service otherwise."}},
    {Cause::kDiskFull,
     "disk_full",
     "A disk is full.",
     {"Free space where the evidence says: the model cache (HF_HOME), vLLM's cache "
      "(VLLM_CACHE_ROOT) or /tmp."}},
    {Cause::kFdLimit,
     "fd_limit",
     "The engine ran out of file descriptors.",
     {"Raise the limit: ulimit -n 65536, or LimitNOFILE= of the service."}},
    {Cause::kShmSmall,
     "shm_small",
     "Shared memory is too small.",
     {"{name} has {free_mib} MiB free, {needed_mib} MiB are needed.",
      "In a container: --shm-size 8g or --ipc=host.", "Else: mount -o remount,size=8G /dev/shm."}},
    {Cause::kKvTooSmall,
     "kv_too_small",
     "The KV cache cannot hold one request of max_model_len tokens.",
     {"Set max_model_len to at most {fitting_context}.",
      "{missing_gib} GiB are missing: raise gpu_memory_utilization, or spread the model over more "
      "GPUs (tensor_parallel_size).",
      "Or store the KV cache in 8 bits (kv_cache_dtype: fp8), which holds twice the tokens."}},
    {Cause::kKvTooSmallV0,
     "kv_too_small_v0",
     "The KV cache cannot hold one request of max_model_len tokens.",
     {"Set max_model_len to at most {fitting_context}.",
      "Raise gpu_memory_utilization, or spread the model over more GPUs (tensor_parallel_size)."}},
    {Cause::kKvNone,
     "kv_none",
     "The weights and the activations leave no memory for a KV cache.",
     {"Raise gpu_memory_utilization, or spread the model over more GPUs (tensor_parallel_size).",
      "Lower max_num_seqs or max_num_batched_tokens: activations shrink with them.",
      "Or load a quantised model."}},
    {Cause::kFreeMemory,
     "free_memory",
     "Less of the GPU's memory is free than the engine is to use: somebody else holds the rest.",
     {"{free_gib} of {total_gib} GiB are free, and {wanted_gib} are asked for.",
      "See with nvidia-smi who holds the rest, and end that.",
      "Or lower gpu_memory_utilization to {fitting_utilization}."}},
    {Cause::kExternalWeights,
     "external_weights",
     "A `vllm preload` daemon holds weights on the GPU, and too little memory is left beside them.",
     {"Lower gpu_memory_utilization, or end the daemon."}},
    {Cause::kMemoryGrew,
     "memory_grew",
     "Another process took or released GPU memory while the engine measured it.",
     {"Start it again when nothing else starts or ends on that GPU."}},
    {Cause::kMambaBlocks,
     "mamba_blocks",
     "The model keeps one state block for each running request, and fewer fit than max_num_seqs.",
     {"Set max_num_seqs to at most {most_sequences}.", "Or raise gpu_memory_utilization."}},
    {Cause::kOomSampler,
     "oom_sampler",
     "The GPU's memory ran out when the sampler was tried with max_num_seqs requests.",
     {"Lower max_num_seqs: {sequences} are too many.", "Or lower gpu_memory_utilization by 0.05."}},
    {Cause::kOomWeights,
     "oom_weights",
     "The weights do not fit into the GPU's memory.",
     {"Spread the model over more GPUs: tensor_parallel_size.",
      "Or load a quantised model. Another gpu_memory_utilization does not help."}},
    {Cause::kOomLoad,
     "oom_load",
     "The GPU's memory ran out while the weights were loaded.",
     {"Spread the model over more GPUs: tensor_parallel_size.",
      "See with nvidia-smi whether somebody else holds memory of that GPU.",
      "Or load a quantised model. Another gpu_memory_utilization does not help."}},
    {Cause::kOomProfile,
     "oom_profile",
     "The GPU's memory ran out in the trial run with the largest batch.",
     {"Lower max_num_batched_tokens, then max_num_seqs.",
      "Or spread the model over more GPUs: tensor_parallel_size."}},
    {Cause::kOomGraphs,
     "oom_graphs",
     "The GPU's memory ran out behind the KV cache, where CUDA graphs are captured.",
     {"Lower gpu_memory_utilization by 0.05.", "Or capture fewer graphs: a smaller max_num_seqs.",
      "Leave VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS alone: 0 makes it worse."}},
    {Cause::kOom,
     "oom",
     "Memory ran out.",
     {"Of the GPU: lower gpu_memory_utilization by 0.05, then max_num_seqs.",
      "See with nvidia-smi whether somebody else holds memory of that GPU.",
      "Of the host: see `free` and the memory limit of the container."}},
    {Cause::kCublasAlloc,
     "cublas_alloc",
     "cuBLAS found no memory left on the GPU for itself.",
     {"Lower gpu_memory_utilization by 0.05.",
      "See with nvidia-smi whether somebody else holds memory of that GPU."}},
    {Cause::kLenGtDerived,
     "len_gt_derived",
     "max_model_len is longer than the model was made for.",
     {"Set max_model_len to at most {fitting_context}.", "Or leave max_model_len out."}},
    {Cause::kHeadsTp,
     "heads_tp",
     "The model's attention heads cannot be divided among that many GPUs.",
     {"{parts} heads on {ranks} GPUs: set tensor_parallel_size to a number that divides {parts}."}},
    {Cause::kVocabTp,
     "vocab_tp",
     "A size of the model cannot be divided among that many GPUs.",
     {"{parts} is not divisible by {ranks}: set tensor_parallel_size to a power of two."}},
    {Cause::kWorldGtGpus,
     "world_gt_gpus",
     "The engine is to use more GPUs, or processors, than it has.",
     {"{ranks} are asked for, {gpus} are there.",
      "Lower tensor_parallel_size, pipeline_parallel_size or data_parallel_size, or give it "
      "more."}},
    {Cause::kDeviceIds,
     "device_ids",
     "The list of GPUs is shorter than what the engine needs, or names one that is not visible.",
     {"Compare CUDA_VISIBLE_DEVICES and --device-ids with tensor_parallel_size x "
      "pipeline_parallel_size."}},
    {Cause::kBf16Unsupported,
     "bf16_unsupported",
     "The GPU is too old for bfloat16.",
     {"Set dtype: half."}},
    {Cause::kGated,
     "gated",
     "The Hugging Face hub does not give this model to us.",
     {"Accept the model's licence on its page, and set HF_TOKEN.",
      "Or correct the name: the hub answers the same for a model that does not exist."}},
    {Cause::kArchInspect,
     "arch_inspect",
     "vLLM could not import its own code for this model.",
     {"Read the first \"Error in inspecting model architecture\" above: an import fails there.",
      "vLLM, torch and transformers have to be of one environment."}},
    {Cause::kArchRemoved,
     "arch_removed",
     "This version of vLLM no longer has the model's architecture.",
     {"Use an older vLLM, or the plugin that the evidence names."}},
    {Cause::kTrustRemoteCode,
     "trust_remote_code",
     "The model comes with Python code of its own, which is not run unasked.",
     {"Read that code. If you trust it: trust_remote_code: true."}},
    {Cause::kModelNotFound,
     "model_not_found",
     "There is no such model: neither a directory with all its files nor a name on the hub.",
     {"Correct the model's name or path.",
      "`batchproxy doctor --validate-model PATH` says which files are missing."}},
    {Cause::kArchUnsupported,
     "arch_unsupported",
     "This version of vLLM, or of transformers, does not know the model's architecture.",
     {"Upgrade vLLM (or transformers)."}},
    {Cause::kHubUnreachable,
     "hub_unreachable",
     "The Hugging Face hub cannot be reached, and the model is not in the local cache.",
     {"Download the model first (hf download), or name its directory.",
      "See whether HF_HUB_OFFLINE or a proxy is set."}},
    {Cause::kNoDriver,
     "no_driver",
     "There is no GPU to be seen, or its driver is too old for this build of vLLM.",
     {"See what nvidia-smi says; builds for CUDA 13 want driver 580 or newer.",
      "In a container: --gpus all."}},
    {Cause::kKernelImage,
     "kernel_image",
     "CUDA failed: this build has no code for the GPU, or a kernel went wrong.",
     {"Use a build of vLLM for this GPU.",
      "If it ran before: start it again; if it comes back, look for Xid errors in dmesg."}},
    {Cause::kKernelImage2,
     "kernel_image2",
     "The GPU's driver is older than the CUDA code of this build.",
     {"Upgrade the driver, or use a build of vLLM for an older CUDA."}},
    {Cause::kNoNvcc,
     "no_nvcc",
     "FlashInfer wants to compile, and there is no CUDA compiler (nvcc).",
     {"Set CUDA_HOME to a CUDA toolkit, or run `vllm download-kernels`.",
      "Or do without: VLLM_USE_FLASHINFER_SAMPLER=0."}},
    {Cause::kJitBuild,
     "jit_build",
     "A kernel could not be compiled: the CUDA toolkit does not fit.",
     {"Install the CUDA toolkit of the version that vLLM was built for.",
      "Or do without: VLLM_USE_FLASHINFER_SAMPLER=0."}},
    {Cause::kQuantUnknown,
     "quant_unknown",
     "vLLM does not know this quantization method.",
     {"\"{name}\" may be a plugin by now: vllm-bnb-plugin, vllm-gguf-plugin.",
      "Or leave `quantization` out: the model's config.json names its own."}},
    {Cause::kQuantMismatch,
     "quant_mismatch",
     "`quantization` is another than the one that the model was quantised with.",
     {"Leave `quantization` out: the model is {name}."}},
    {Cause::kQuantFp8Online,
     "quant_fp8_online",
     "fp8 no longer quantises while loading; the method has a new name.",
     {"Set quantization: fp8_per_tensor."}},
    {Cause::kQuantGpu,
     "quant_gpu",
     "The GPU is too old for this quantization method.",
     {"Use a newer GPU, or a model that is quantised otherwise."}},
    {Cause::kQuantDtype,
     "quant_dtype",
     "The quantization method does not go with this dtype.",
     {"Set dtype to one of: {name}."}},
    {Cause::kLoraRank,
     "lora_rank",
     "An adapter's rank is higher than max_lora_rank.",
     {"Set max_lora_rank to {lora_rank} or the next larger of 8, 16, 32, 64, 128, 256, 320, 512."}},
    {Cause::kLoraUnsupported,
     "lora_unsupported",
     "LoRA does not work with this model.",
     {"Start without enable_lora."}},
    {Cause::kChatTemplate,
     "chat_template",
     "The chat template cannot be found or read.",
     {"Correct the path of chat_template."}},
    {Cause::kBatchedLtLen,
     "batched_lt_len",
     "max_num_batched_tokens is smaller than max_model_len, and prompts must not be split.",
     {"Allow chunked prefill, or set max_num_batched_tokens to at least {context}."}},
    {Cause::kBatchedLtSeqs,
     "batched_lt_seqs",
     "max_num_batched_tokens is smaller than max_num_seqs.",
     {"Set max_num_seqs to at most {batched_tokens}."}},
    {Cause::kAttentionBackend,
     "attention_backend",
     "There is no such attention backend, or none that can serve this model here.",
     {"Leave the attention backend out, or take a name from the evidence."}},
    {Cause::kWeightsMismatch,
     "weights_mismatch",
     "The checkpoint's tensors are not those that this version of vLLM expects.",
     {"Use the vLLM version that the model's page names, or another checkpoint."}},
    {Cause::kWeightsBroken,
     "weights_broken",
     "A file of weights is cut off or is no file of weights.",
     {"Download it again; a file of a few hundred bytes is a pointer of git-lfs.",
      "`batchproxy doctor --validate-model PATH` compares the sizes with the index."}},
    {Cause::kRayMissing,
     "ray_missing",
     "Ray is asked for and not installed.",
     {"pip install ray, or leave distributed_executor_backend out."}},
    {Cause::kRayPlacement,
     "ray_placement",
     "Ray has not that many free GPUs.",
     {"See `ray status`."}},
    {Cause::kCudaFork,
     "cuda_fork",
     "CUDA was in use before the workers were forked.",
     {"Set VLLM_WORKER_MULTIPROC_METHOD=spawn."}},
    {Cause::kNccl,
     "nccl",
     "The GPUs of the engine could not talk to each other (NCCL).",
     {"See /dev/shm (64 MiB in a plain container is too small) and set NCCL_DEBUG=WARN.",
      "Without NVLink: NCCL_P2P_DISABLE=1 and disable_custom_all_reduce."}},
    {Cause::kPortInUse,
     "port_in_use",
     "A port that the engine wanted was taken.",
     {"Start it again; engines that start together can take each other's internal ports.",
      "If it is the engine's own port: ss -ltnp says who has it."}},
    {Cause::kPortInUse2,
     "port_in_use2",
     "The address that the engine was to listen on was taken.",
     {"ss -ltnp says who has it; end that, or choose another port."}},
    {Cause::kReadyTimeout,
     "ready_timeout",
     "The engine's core was not ready in vLLM's own time.",
     {"Raise VLLM_ENGINE_READY_TIMEOUT_S."}},
    {Cause::kBadUuidDevices,
     "bad_uuid_devices",
     "This version of vLLM wants numbers in CUDA_VISIBLE_DEVICES.",
     {"Name the GPUs by number."}},
    {Cause::kBadArgs,
     "bad_args",
     "vLLM does not take one of its arguments.",
     {"Correct it, or leave it out: its name may belong to another version."}},
    {Cause::kFileMissing,
     "file_missing",
     "A file is missing.",
     {"See that {name} exists and can be read."}},
    {Cause::kImportError,
     "import_error",
     "A Python module cannot be imported: vLLM, torch, transformers and CUDA do not fit.",
     {"Install them anew into one fresh environment."}},
    {Cause::kConfigError,
     "config_error",
     "vLLM refused its configuration.",
     {"The evidence says which value, and why."}},
    {Cause::kKilled,
     "killed",
     "A process of the engine ended without a word: most likely it was killed from outside.",
     {"Most often the host's memory ran out: see dmesg, and memory.events of its control group."}},
    {Cause::kCrashed,
     "crashed",
     "A process of the engine crashed in native code.",
     {"Start it again; if it comes back, report it to vLLM with the log."}},
    {Cause::kSlowOrHung,
     "slow_or_hung",
     "The engine's processes wait for one of them, and nothing goes on.",
     {"Several GPUs without NVLink: NCCL_P2P_DISABLE=1 and disable_custom_all_reduce.",
      "See the host's memory and disk: loading may be that slow."}},
});

std::optional<std::string> text_of(std::optional<double> number) {
  if (!number) return std::nullopt;
  std::array<char, 32> text{};
  const bool whole = *number == std::floor(*number) && std::abs(*number) < 1e15;
  std::snprintf(text.data(), text.size(), whole ? "%.0f" : "%.4g", *number);
  return text.data();
}

std::optional<std::string> value_of(std::string_view name, const Figures& figures) {
  struct Named {
    std::string_view name;
    std::optional<double> Figures::* figure;
  };
  constexpr std::array kNamed{
      Named{"context", &Figures::context},
      Named{"free_gib", &Figures::free_gib},
      Named{"total_gib", &Figures::total_gib},
      Named{"wanted_gib", &Figures::wanted_gib},
      Named{"sequences", &Figures::sequences},
      Named{"most_sequences", &Figures::most_sequences},
      Named{"batched_tokens", &Figures::batched_tokens},
      Named{"ranks", &Figures::ranks},
      Named{"gpus", &Figures::gpus},
      Named{"parts", &Figures::parts},
      Named{"lora_rank", &Figures::lora_rank},
      Named{"needed_mib", &Figures::needed_mib},
      Named{"free_mib", &Figures::free_mib},
  };
  if (name == "missing_gib" && figures.needed_gib && figures.available_gib) {
    return text_of(*figures.needed_gib - *figures.available_gib);
  }
  if (name == "fitting_utilization") return text_of(fitting_utilization(figures));
  if (name == "fitting_context") return text_of(fitting_context(figures));
  if (name == "name") {
    return figures.name.empty() ? std::nullopt : std::optional(figures.name);
  }
  const auto named = std::ranges::find(kNamed, name, &Named::name);
  return named == kNamed.end() ? std::nullopt : text_of(figures.*(named->figure));
}

// `line` with its figures, nothing if one of them is unknown.
std::optional<std::string> filled(std::string_view line, const Figures& figures) {
  std::string text;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t open = std::min(line.find('{', at), line.size());
    text += line.substr(at, open - at);
    if (open == line.size()) break;
    const std::size_t close = line.find('}', open);
    const auto value = value_of(line.substr(open + 1, close - open - 1), figures);
    if (!value) return std::nullopt;
    text += *value;
    at = close + 1;
  }
  return text;
}

}  // namespace

const CauseRow& describe(Cause cause) {
  return kCauses[cause];
}

Cause cause_of(std::string_view word) {
  const auto* row = std::ranges::find(kCauses, word, &CauseRow::word);
  return row == kCauses.end() ? Cause::kCount : row->id;
}

std::vector<std::string> advice_for(Cause cause, const Figures& figures) {
  std::vector<std::string> advice;
  for (const std::string_view line : describe(cause).advice) {
    if (line.empty()) continue;
    if (auto text = filled(line, figures)) advice.push_back(*std::move(text));
  }
  return advice;
}

}  // namespace batchproxy
