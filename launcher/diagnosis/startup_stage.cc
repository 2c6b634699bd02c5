// launcher/diagnosis/startup_stage.cc - the sentences of vLLM's log that mark its stages.
#include "launcher/diagnosis/startup_stage.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "batcher/base/enum_table.h"
#include "launcher/diagnosis/log_line.h"

namespace batchproxy {
namespace {

// Longer lines are configuration dumps; their beginnings are enough.
constexpr std::size_t kLongestLine = 16 * 1024;

struct StageRow {
  StartupStage id{};
  std::string_view word{};
  std::string_view text{};
};
constexpr EnumTable<StageRow> kStages({
    {StartupStage::kBoot, "boot", "booting"},
    {StartupStage::kConfig, "config", "reading the model's configuration"},
    {StartupStage::kEngineInit, "engine_init", "initialising the engine"},
    {StartupStage::kLoadingWeights, "loading_weights", "loading weights"},
    {StartupStage::kWeightsLoaded, "weights_loaded", "weights loaded"},
    {StartupStage::kCompiling, "compiling", "compiling"},
    {StartupStage::kProfilingMemory, "profiling_memory", "profiling memory"},
    {StartupStage::kKvCacheSized, "kv_sized", "KV cache sized"},
    {StartupStage::kCapturingGraphs, "graphs", "capturing CUDA graphs"},
    {StartupStage::kEngineReady, "engine_ready", "starting the HTTP server"},
    {StartupStage::kHttpReady, "ready", "HTTP server is up"},
});

struct Mark {
  StartupStage stage;
  std::string_view text;
};

// Latest stage first: a progress bar can be glued to the line that follows it. Texts of several
// eras stand side by side.
constexpr std::array kMarks{
    Mark{StartupStage::kHttpReady, "Application startup complete"},
    Mark{StartupStage::kEngineReady, "init engine (profile, create kv cache, warmup model) took"},
    Mark{StartupStage::kEngineReady, "Starting vLLM server on "},
    Mark{StartupStage::kEngineReady, "Starting vLLM API server "},
    Mark{StartupStage::kCapturingGraphs, "Graph capturing finished in "},
    Mark{StartupStage::kCapturingGraphs, "Capturing CUDA graphs"},
    Mark{StartupStage::kCapturingGraphs, "Capturing cudagraphs"},
    Mark{StartupStage::kCapturingGraphs, "Capturing the model for "},
    Mark{StartupStage::kCapturingGraphs, "Capturing CUDA graph shapes"},
    Mark{StartupStage::kKvCacheSized, " KV cache size: "},  // GPU, CPU, "GPU + host"
    Mark{StartupStage::kKvCacheSized, "Maximum concurrency for "},
    Mark{StartupStage::kKvCacheSized, "# GPU blocks: "},
    Mark{StartupStage::kKvCacheSized, "# cuda blocks: "},
    Mark{StartupStage::kKvCacheSized, "Auto-fit max_model_len: "},
    Mark{StartupStage::kProfilingMemory, "Available KV cache memory: "},
    Mark{StartupStage::kProfilingMemory, "Estimated CUDA graph memory: "},
    Mark{StartupStage::kProfilingMemory, "Memory profiling takes "},
    Mark{StartupStage::kProfilingMemory, "GiB memory for KV Cache as specified by "},
    Mark{StartupStage::kProfilingMemory, "model weights take "},
    Mark{StartupStage::kCompiling, "torch.compile took "},
    Mark{StartupStage::kCompiling, "torch.compile takes "},
    Mark{StartupStage::kCompiling, "torch.compile and initial profiling/warmup run together took "},
    Mark{StartupStage::kCompiling, "Starting torch.compile"},
    Mark{StartupStage::kCompiling, "Dynamo bytecode transform time: "},
    Mark{StartupStage::kCompiling, "for vLLM's torch.compile"},
    Mark{StartupStage::kWeightsLoaded, "Model loading took "},
    Mark{StartupStage::kWeightsLoaded, "Loading model weights took "},
    Mark{StartupStage::kLoadingWeights, "Loading weights took "},
    Mark{StartupStage::kLoadingWeights, "checkpoint shards: "},
    Mark{StartupStage::kLoadingWeights, "checkpoint shards (eager): "},
    Mark{StartupStage::kLoadingWeights, "Multi-thread loading "},
    Mark{StartupStage::kLoadingWeights, "Loading safetensors using "},
    Mark{StartupStage::kLoadingWeights, "Starting to load model "},
    Mark{StartupStage::kLoadingWeights, "Loading model from scratch"},
    Mark{StartupStage::kEngineInit, "Initializing an LLM engine ("},
    Mark{StartupStage::kEngineInit, "Initializing a V1 LLM engine ("},
    Mark{StartupStage::kConfig, "Using max model len "},
    Mark{StartupStage::kConfig, "Resolved architecture: "},
    Mark{StartupStage::kBoot, "non-default args: "},
    Mark{StartupStage::kBoot, "vLLM API server version "},
    Mark{StartupStage::kBoot, "vLLM server version "},
};

// The number before the first '%': both kinds of progress bar print one.
std::optional<int> percent_in(std::string_view text) {
  const auto sign = text.find('%');
  if (sign == std::string_view::npos) return std::nullopt;
  std::size_t begin = sign;
  while (begin > 0 && std::isdigit(static_cast<unsigned char>(text[begin - 1]))) --begin;
  int value = 0;
  for (const char digit : text.substr(begin, std::min<std::size_t>(sign - begin, 3))) {
    value = value * 10 + (digit - '0');
  }
  if (begin == sign || value > 100) return std::nullopt;
  return value;
}

// The place of a stage in the order of things. Graphs that are captured before the KV cache is
// sized are a trial: it comes before memory is told.
int place_of(StartupStage stage, bool is_kv_sized) {
  const bool is_trial = stage == StartupStage::kCapturingGraphs && !is_kv_sized;
  return is_trial ? 2 * static_cast<int>(StartupStage::kProfilingMemory) - 1
                  : 2 * static_cast<int>(stage);
}

}  // namespace

std::string_view describe(StartupStage stage) {
  return kStages[stage].text;
}

std::string_view word(StartupStage stage) {
  return kStages[stage].word;
}

std::string describe(const StartupProgress& progress) {
  std::string text(describe(progress.stage));
  if (progress.percent) text += " " + std::to_string(*progress.percent) + " %";
  return text;
}

std::optional<StartupProgress> progress_in(std::string_view line) {
  const std::string text = without_escapes(line);
  for (const Mark& mark : kMarks) {
    const auto at = text.find(mark.text);
    if (at == std::string::npos) continue;
    const bool has_bar =
        mark.stage == StartupStage::kLoadingWeights || mark.stage == StartupStage::kCapturingGraphs;
    if (!has_bar) return StartupProgress{mark.stage, std::nullopt};
    return StartupProgress{mark.stage, percent_in(std::string_view(text).substr(at))};
  }
  return std::nullopt;
}

bool StartupCourse::take(const StartupProgress& progress) {
  is_kv_sized_ = is_kv_sized_ || progress.stage == StartupStage::kKvCacheSized;
  const int place = place_of(progress.stage, is_kv_sized_);
  const bool is_further =
      !newest_ || place > place_ ||
      (place == place_ && progress.percent.value_or(-1) > newest_->percent.value_or(-1));
  if (!is_further) return false;
  newest_ = progress;
  place_ = place;
  return true;
}

std::optional<StartupProgress> StartupLogReader::feed(std::string_view bytes) {
  const auto before = course_.newest();
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    unfinished_line_ +=
        piece.substr(0, kLongestLine - std::min(kLongestLine, unfinished_line_.size()));
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    const auto progress = progress_in(unfinished_line_);
    unfinished_line_.clear();
    if (progress) course_.take(*progress);
  }
  return course_.newest() == before ? std::nullopt : course_.newest();
}

}  // namespace batchproxy
