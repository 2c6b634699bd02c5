// launcher/startup_stage.h - how far a starting engine has come, read from its log.
//
// For the progress display only: an engine is ready when it answers, whatever its log says.
//
// Threading: confined to one thread; no I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

// In the order in which they happen.
enum class StartupStage {
  kBoot,
  kConfig,
  kEngineInit,
  kLoadingWeights,
  kWeightsLoaded,
  kCompiling,
  kProfilingMemory,
  kKvCacheSized,
  kCapturingGraphs,
  kEngineReady,
  kHttpReady,

  kCount  // of them; no stage
};

// "loading weights"
std::string_view describe(StartupStage stage);

struct StartupProgress {
  StartupStage stage = StartupStage::kBoot;
  std::optional<int> percent;

  friend bool operator==(const StartupProgress&, const StartupProgress&) = default;
};

// "loading weights 25 %"
std::string describe(const StartupProgress& progress);

// The progress that one line of the log tells, if any. Understands the texts of all vLLM versions
// since 0.6, with or without their prefixes and colours.
std::optional<StartupProgress> progress_in(std::string_view line);

// Reads a log in pieces of any size.
class StartupLogReader {
 public:
  // The newest progress, if `bytes` brought any. Progress never goes back: ranks and draft models
  // repeat earlier stages.
  std::optional<StartupProgress> feed(std::string_view bytes);

 private:
  std::string unfinished_line_;
  std::optional<StartupProgress> newest_;
};

}  // namespace batchproxy
