// tests/launcher/diagnosis/startup_stage_test.cc - stages in the words of several vLLM versions.
#include "launcher/diagnosis/startup_stage.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Stage = StartupStage;

TEST(ProgressIn, KnowsTheSentencesOfEachEra) {
  const std::vector<std::pair<Stage, const char*>> cases{
      {Stage::kBoot, "INFO 01-02 03:04:05 api_server.py:1] vLLM API server version 0.6.3"},
      {Stage::kBoot,
       "(APIServer pid=7) INFO 01-02 03:04:05 [utils.py:9] non-default args: {'a': 1}"},
      {Stage::kConfig, "INFO [model.py:1] Resolved architecture: LlamaForCausalLM"},
      {Stage::kConfig, "INFO [model.py:2] Using max model len 4096"},
      {Stage::kEngineInit, "Initializing an LLM engine (v0.6.3) with config: model='m'"},
      {Stage::kEngineInit,
       "(EngineCore pid=8) Initializing a V1 LLM engine (v0.19.0) with config:"},
      {Stage::kLoadingWeights, "(Worker_TP0 pid=9) Starting to load model org/m..."},
      {Stage::kLoadingWeights, "Loading model from scratch..."},
      {Stage::kLoadingWeights, "Loading weights took 3.21 seconds"},
      {Stage::kWeightsLoaded, "Loading model weights took 14.96 GB"},
      {Stage::kWeightsLoaded, "Model loading took 14.96 GiB memory and 4.2 seconds"},
      {Stage::kCompiling, "torch.compile takes 11.0 s in total"},
      {Stage::kCompiling, "torch.compile took 11.0 s in total"},
      {Stage::kProfilingMemory, "model weights take 14.99GiB; non_torch_memory takes 0.1GiB;"},
      {Stage::kProfilingMemory, "Available KV cache memory: 52.93 GiB"},
      {Stage::kKvCacheSized, "# GPU blocks: 2000, # CPU blocks: 512"},
      {Stage::kKvCacheSized, "# cuda blocks: 2000, # CPU blocks: 512"},
      {Stage::kKvCacheSized, "GPU KV cache size: 433,000 tokens, Maximum concurrency for 4,096"},
      {Stage::kKvCacheSized, "CPU KV cache size: 1,048,576 tokens"},
      {Stage::kKvCacheSized, "GPU + host KV cache size: 433,000 tokens"},
      {Stage::kKvCacheSized, "Auto-fit max_model_len: full model context length 4096 fits"},
      {Stage::kCompiling, "Starting torch.compile"},
      {Stage::kCompiling, "torch.compile and initial profiling/warmup run together took 3 s"},
      {Stage::kLoadingWeights, "Multi-thread loading shards:  25% Completed | 1/4"},
      {Stage::kLoadingWeights, "Loading safetensors checkpoint shards (eager):  25% Completed"},
      {Stage::kCapturingGraphs, "Capturing the model for CUDA graphs. This may lead to"},
      {Stage::kCapturingGraphs, "Graph capturing finished in 3 secs, took 0.91 GiB"},
      {Stage::kEngineReady, "init engine (profile, create kv cache, warmup model) took 21 seconds"},
      {Stage::kEngineReady, "Starting vLLM API server 0 on http://127.0.0.1:8100"},
      {Stage::kEngineReady, "Starting vLLM server on http://127.0.0.1:8100"},
      {Stage::kHttpReady, "(APIServer pid=7) INFO:     Application startup complete."},
  };
  for (const auto& [stage, line] : cases) {
    const auto progress = progress_in(line);
    ASSERT_TRUE(progress) << line;
    EXPECT_EQ(progress->stage, stage) << line;
  }
}

TEST(ProgressIn, ReadsThePercentOfProgressBars) {
  EXPECT_EQ(
      progress_in("Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]"),
      (StartupProgress{Stage::kLoadingWeights, 25}));
  EXPECT_EQ(progress_in("Capturing CUDA graphs (decode, FULL): 100%|███| 51/51 [00:01<00:00]"),
            (StartupProgress{Stage::kCapturingGraphs, 100}));
}

TEST(ProgressIn, SeesThroughColours) {
  EXPECT_EQ(progress_in("\x1b[1;36m(EngineCore)\x1b[0;0m Loading model weights \x1b[32mtook 1 GB"),
            (StartupProgress{Stage::kWeightsLoaded, std::nullopt}));
}

TEST(ProgressIn, TakesTheLaterStageOfALineGluedToAProgressBar) {
  EXPECT_EQ(progress_in("Loading pt checkpoint shards: 100% Completed | 4/4INFO Model loading took "
                        "1.0 GiB memory and 2 seconds"),
            (StartupProgress{Stage::kWeightsLoaded, std::nullopt}));
}

TEST(ProgressIn, IgnoresEverythingElse) {
  for (const char* line :
       {"", "\x1b", "\x1b[", "Overriding num_gpu_blocks=0 with num_gpu_blocks_override=512",
        "ValueError: larger than the available KV cache memory (4.85 GiB)",
        "Route: /health, Methods: GET", "INFO: Waiting for application startup."}) {
    EXPECT_FALSE(progress_in(line)) << line;
  }
}

TEST(StartupLogReader, FindsTheSameInPiecesOfAnySize) {
  const std::string log =
      "Starting to load model m...\nLoading safetensors checkpoint shards:   0% Completed\r"
      "Loading safetensors checkpoint shards:  50% Completed\rdone\nModel loading took 1 GiB\n";
  for (std::size_t size = 1; size <= log.size(); ++size) {
    StartupLogReader reader;
    std::optional<StartupProgress> newest;
    for (std::size_t at = 0; at < log.size(); at += size) {
      if (const auto progress = reader.feed(log.substr(at, size))) newest = progress;
    }
    EXPECT_EQ(newest, (StartupProgress{Stage::kWeightsLoaded, std::nullopt})) << size;
  }
}

TEST(StartupLogReader, NeverGoesBack) {
  StartupLogReader reader;
  const std::string half = "Loading safetensors checkpoint shards:  50% Completed\n";
  EXPECT_EQ(reader.feed(half), (StartupProgress{Stage::kLoadingWeights, 50}));
  EXPECT_FALSE(reader.feed("Loading safetensors checkpoint shards:  25% Completed\n"));
  EXPECT_TRUE(reader.feed("Model loading took 1 GiB\n"));
  EXPECT_FALSE(reader.feed(half));
}

TEST(StartupLogReader, GoesOnBehindTheGraphsThatAreTriedFirst) {
  StartupLogReader reader;
  const auto stage = [&reader](const std::string& line) {
    const auto progress = reader.feed(line + "\n");
    return progress ? describe(*progress) : "";
  };
  EXPECT_EQ(stage("Model loading took 1 GiB"), "weights loaded");
  EXPECT_EQ(stage("Capturing CUDA graphs (PIECEWISE):  50%|##"), "capturing CUDA graphs 50 %");
  EXPECT_EQ(stage("Capturing CUDA graphs (PIECEWISE): 100%|##"), "capturing CUDA graphs 100 %");
  EXPECT_EQ(stage("Starting torch.compile"), "") << "it was before";
  EXPECT_EQ(stage("Available KV cache memory: 4.84 GiB"), "profiling memory");
  EXPECT_EQ(stage("GPU KV cache size: 9,920 tokens"), "KV cache sized");
  EXPECT_EQ(stage("Capturing CUDA graphs (PIECEWISE):  10%|##"), "capturing CUDA graphs 10 %");
  EXPECT_EQ(stage("Available KV cache memory: 4.84 GiB"), "") << "another rank";
}

TEST(StartupLogReader, SurvivesALineWithoutEnd) {
  StartupLogReader reader;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(reader.feed(std::string(10000, 'x')));
  EXPECT_TRUE(reader.feed("\nUsing max model len 8192\n"));
}

TEST(Describe, IsShortAndHasThePercent) {
  EXPECT_EQ(describe(StartupProgress{Stage::kLoadingWeights, 25}), "loading weights 25 %");
  EXPECT_EQ(describe(StartupProgress{Stage::kCompiling, std::nullopt}), "compiling");
}

}  // namespace
}  // namespace batchproxy
