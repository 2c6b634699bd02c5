// launcher/diagnosis/cause.h - every reason for which an engine is known to fail, in one table.
//
// A cause is an enumerator here and its row in cause.cc, which says all there is to say of it; the
// compiler asks for the row. recognisers.cc says how a log tells it, launcher/repair/steps.cc what
// may be done about it by itself. docs/DIAGNOSE.md lists the rows for people, and a test compares
// the two.
//
// Threading: constants, any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/enum_table.h"
#include "launcher/diagnosis/figures.h"

namespace batchproxy {

// By priority: of several in one log, the first is the cause, and the others follow from it.
enum class Cause {
  // The machine, before anything of the model.
  kVllmPortUri,
  kDiskFull,
  kFdLimit,
  kShmSmall,
  // Memory of the GPU.
  kKvTooSmall,
  kKvTooSmallV0,
  kKvNone,
  kFreeMemory,
  kExternalWeights,
  kMemoryGrew,
  kMambaBlocks,
  kOomSampler,
  kOomWeights,
  kOomLoad,
  kOomProfile,
  kOomGraphs,
  kOom,
  kCublasAlloc,
  // What does not go with the model, or with the GPUs.
  kLenGtDerived,
  kHeadsTp,
  kVocabTp,
  kWorldGtGpus,
  kDeviceIds,
  kBf16Unsupported,
  kGated,
  kArchInspect,
  kArchRemoved,
  kTrustRemoteCode,
  kModelNotFound,
  kArchUnsupported,
  kHubUnreachable,
  kNoDriver,
  kKernelImage,
  kKernelImage2,
  kNoNvcc,
  kJitBuild,
  kQuantUnknown,
  kQuantMismatch,
  kQuantFp8Online,
  kQuantGpu,
  kQuantDtype,
  kLoraRank,
  kLoraUnsupported,
  kChatTemplate,
  kBatchedLtLen,
  kBatchedLtSeqs,
  kAttentionBackend,
  kWeightsMismatch,
  kWeightsBroken,
  kRayMissing,
  kRayPlacement,
  kCudaFork,
  // What often only follows from another process's failure.
  kNccl,
  kPortInUse,
  kPortInUse2,
  kReadyTimeout,
  kBadUuidDevices,
  kBadArgs,
  // What is said in many ways, and last.
  kFileMissing,
  kImportError,
  kConfigError,
  kKilled,
  kCrashed,
  kSlowOrHung,

  kCount  // of them; no cause
};

struct CauseRow {
  Cause id{};
  std::string_view word{};  // stable, for programs: `cause` of `diagnose --json`
  std::string_view what{};  // what happened, a sentence
  // What to do, best first; empty ones are none. {fitting_context} and the like stand for figures:
  // a line whose figures the log has not told is left out.
  std::array<std::string_view, 3> advice{};
};

const CauseRow& describe(Cause cause);

// The cause with this word, kCount if there is none.
Cause cause_of(std::string_view word);

// The row's advice with the figures filled in.
std::vector<std::string> advice_for(Cause cause, const Figures& figures);

}  // namespace batchproxy
