// launcher/diagnosis/startup_stage.h - how far a starting engine has come, read from its log.
//
// For the progress display, and for what ran out of memory when: an engine is ready when it
// answers, whatever its log says.
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
  kCapturingGraphs,  // vLLM 0.33 also tries it before the KV cache is sized
  kEngineReady,
  kHttpReady,

  kCount  // of them; no stage
};

// "loading weights"
std::string_view describe(StartupStage stage);

// "loading_weights": stable, for programs.
std::string_view word(StartupStage stage);

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

// How far a start has come, from the progress that single lines tell.
class StartupCourse {
 public:
  // Whether it is progress, and not an earlier stage told once more.
  bool take(const StartupProgress& progress);

  const std::optional<StartupProgress>& newest() const { return newest_; }

 private:
  std::optional<StartupProgress> newest_;
  bool is_kv_sized_ = false;
  int place_ = 0;  // of the newest, in the order of things
};

// Reads a log in pieces of any size.
class StartupLogReader {
 public:
  // The newest progress, if `bytes` brought any. Progress never goes back, as ranks and draft
  // models repeat earlier stages; but graphs that are captured before the KV cache is sized are a
  // trial, and what follows it is progress.
  std::optional<StartupProgress> feed(std::string_view bytes);

 private:
  std::string unfinished_line_;
  StartupCourse course_;
};

}  // namespace batchproxy
