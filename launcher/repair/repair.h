// launcher/repair/repair.h - what to change before a failed engine is started again.
//
// Pure: from the cause with its figures, the engine's arguments and environment, what the user has
// said and what was tried, to the next change, or to the reason why there is none. Who restarts the
// engine announces the change, waits for the GPU, and remembers it when the engine has come up
// (remember.h).
//
// Never: --trust-remote-code, other weights, another port, and what makes it worse although vLLM's
// message recommends it.
//
// Threading: pure functions over values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/sources/environment.h"
#include "launcher/diagnosis/cause.h"
#include "launcher/diagnosis/figures.h"

namespace batchproxy {

// The kinds of change, in the order of preference: the cheap ones first.
enum class RepairKind : std::uint8_t {
  kWait,            // nothing changes: start it again, behind the GPU gate
  kMambaBlocks,     // --max-num-seqs, to the state blocks that fit: costs no context
  kContext,         // --max-model-len
  kUtilization,     // --gpu-memory-utilization
  kSequences,       // --max-num-seqs
  kBatchedTokens,   // --max-num-batched-tokens
  kSampler,         // VLLM_USE_FLASHINFER_SAMPLER=0
  kPeerToPeer,      // NCCL_P2P_DISABLE=1 and --disable-custom-all-reduce
  kSpawn,           // VLLM_WORKER_MULTIPROC_METHOD=spawn
  kArgument,        // another flag, whose right value the message tells
  kTensorParallel,  // --tensor-parallel-size
  kPipeline,        // --pipeline-parallel-size
  kOtherGpus,       // a GPU with more free memory
  kKvFp8,           // --kv-cache-dtype fp8, if allowed
  kCpuOffload,      // --cpu-offload-gb, if allowed

  kCount  // of them; no kind
};

// "max_model_len": stable, for programs and files. kCount if there is none of this word.
std::string_view word(RepairKind kind);
RepairKind repair_kind_of(std::string_view word);

// One flag or variable that becomes another.
struct RepairChange {
  bool is_variable = false;           // of the environment, else a flag
  std::string name;                   // "--max-model-len", "NCCL_P2P_DISABLE"
  std::optional<std::string> before;  // absent: it was not set
  std::optional<std::string> after;   // absent: it is taken out; "": a flag without a value

  friend bool operator==(const RepairChange&, const RepairChange&) = default;
};

struct Repair {
  RepairKind kind = RepairKind::kWait;
  std::vector<RepairChange> changes;  // none with kWait and kOtherGpus
  std::string sentence;               // for the log, with the numbers before and after
  int gpus_wanted = 0;  // with kTensorParallel, kPipeline and kOtherGpus: how many it needs now
};

// What was asked of the failed engine.
struct RepairSubject {
  std::vector<std::string> argv{};     // as it was started
  Environment environment{};           // what is set for it
  bool is_context_pinned = false;      // the user named a max_model_len
  bool is_utilization_pinned = false;  // and so on
  bool is_sequences_pinned = false;
  bool is_batched_pinned = false;
  bool is_parallel_pinned = false;
};

// Of an engine as it was planned, before any repair: what stands in its flags is pinned, but for a
// max_model_len that is `auto`.
RepairSubject subject_of(std::vector<std::string> argv, Environment environment);

struct RepairOptions {
  int most_attempts = 3;
  int smallest_context = 2048;  // a shorter one serves nobody
  bool may_kv_fp8 = false;
  int cpu_offload_gib = 0;  // 0: not allowed
};

// What the machine has.
struct RepairMachine {
  int spare_gpus = 0;  // visible, and no engine's
  // Sizes of tensor_parallel_size that the model's heads and vocabulary allow, if that is known.
  std::optional<std::vector<std::int64_t>> allowed_parallel{};
  std::optional<double> gpu_total_gib{};  // of one GPU of the engine
  double default_utilization = 0.9;       // where no flag says so; vLLM 0.33 has 0.92
  int default_sequences = 256;
  int default_batched_tokens = 8192;
};

// What was tried since the engine was last up, oldest first.
using RepairHistory = std::vector<RepairKind>;

// A repair, or the reason why there is none, a sentence.
struct RepairDecision {
  std::optional<Repair> repair;
  std::string reason;
};

RepairDecision next_repair(Cause cause, const Figures& figures, const RepairSubject& subject,
                           const RepairMachine& machine, const RepairHistory& history,
                           const RepairOptions& options);

// `argv` and `environment` with the changes made.
void apply_changes(const std::vector<RepairChange>& changes, std::vector<std::string>& argv,
                   Environment& environment);

}  // namespace batchproxy
