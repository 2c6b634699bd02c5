// launcher/startup_stage.cc - the sentences of vLLM's log that mark its stages.
#include "launcher/startup_stage.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "batcher/base/enum_table.h"

namespace batchproxy {
namespace {

// Longer lines are configuration dumps; their beginnings are enough.
constexpr std::size_t kLongestLine = 16 * 1024;

struct StageRow {
  StartupStage id{};
  std::string_view text{};
};
constexpr EnumTable<StageRow> kStages({
    {StartupStage::kBoot, "booting"},
    {StartupStage::kConfig, "reading the model's configuration"},
    {StartupStage::kEngineInit, "initialising the engine"},
    {StartupStage::kLoadingWeights, "loading weights"},
    {StartupStage::kWeightsLoaded, "weights loaded"},
    {StartupStage::kCompiling, "compiling"},
    {StartupStage::kProfilingMemory, "profiling memory"},
    {StartupStage::kKvCacheSized, "KV cache sized"},
    {StartupStage::kCapturingGraphs, "capturing CUDA graphs"},
    {StartupStage::kEngineReady, "starting the HTTP server"},
    {StartupStage::kHttpReady, "HTTP server is up"},
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
    Mark{StartupStage::kKvCacheSized, "GPU KV cache size: "},
    Mark{StartupStage::kKvCacheSized, "Maximum concurrency for "},
    Mark{StartupStage::kKvCacheSized, "# GPU blocks: "},
    Mark{StartupStage::kKvCacheSized, "# cuda blocks: "},
    Mark{StartupStage::kKvCacheSized, "Auto-fit max_model_len: reduced from "},
    Mark{StartupStage::kProfilingMemory, "Available KV cache memory: "},
    Mark{StartupStage::kProfilingMemory, "Estimated CUDA graph memory: "},
    Mark{StartupStage::kProfilingMemory, "Memory profiling takes "},
    Mark{StartupStage::kProfilingMemory, "model weights take "},
    Mark{StartupStage::kCompiling, "torch.compile took "},
    Mark{StartupStage::kCompiling, "torch.compile takes "},
    Mark{StartupStage::kCompiling, "Dynamo bytecode transform time: "},
    Mark{StartupStage::kCompiling, "for vLLM's torch.compile"},
    Mark{StartupStage::kWeightsLoaded, "Model loading took "},
    Mark{StartupStage::kWeightsLoaded, "Loading model weights took "},
    Mark{StartupStage::kLoadingWeights, "Loading weights took "},
    Mark{StartupStage::kLoadingWeights, "checkpoint shards: "},
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

// Colours: ESC [ parameters letter.
std::string without_escapes(std::string_view line) {
  std::string text;
  text.reserve(line.size());
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      text += line[i];
    } else if (i + 1 < line.size() && line[i + 1] == '[') {
      i = std::min(line.find_first_of("ABCDEFGHJKSTfmnsu", i + 2), line.size() - 1);
    }
  }
  return text;
}

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

bool is_further(const StartupProgress& progress, const std::optional<StartupProgress>& than) {
  if (!than || progress.stage != than->stage) return !than || progress.stage > than->stage;
  return progress.percent.value_or(-1) > than->percent.value_or(-1);
}

}  // namespace

std::string_view describe(StartupStage stage) {
  return kStages[stage].text;
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

std::optional<StartupProgress> StartupLogReader::feed(std::string_view bytes) {
  const auto before = newest_;
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    unfinished_line_ +=
        piece.substr(0, kLongestLine - std::min(kLongestLine, unfinished_line_.size()));
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    const auto progress = progress_in(unfinished_line_);
    unfinished_line_.clear();
    if (progress && is_further(*progress, newest_)) newest_ = progress;
  }
  return newest_ == before ? std::nullopt : newest_;
}

}  // namespace batchproxy
