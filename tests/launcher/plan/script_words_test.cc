// tests/launcher/plan/script_words_test.cc - each flag and variable that people's launch scripts
// have, and the command and environment of the engines that come of it, for an old vLLM and a new
// one.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/engine_wish.h"
#include "configs/loader.h"
#include "launcher/gpus/gpu_pool.h"
#include "launcher/plan/command_line.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;

constexpr Version kOld{0, 8, 5};
constexpr Version kNew{0, 33, 0};
constexpr int kGpus = 8;
constexpr unsigned kCores = 32;

// What a script says: flags, exported variables, and, if it has one, a file.
struct Script {
  std::vector<Flag> flags{};
  Environment environment{};
  std::string file{};
};

EnginePlans planned(const Script& script, const Version& version, int gpus = kGpus) {
  const LoadResult loaded = script.file.empty()
                                ? load({"", std::nullopt, script.flags, script.environment})
                                : load({"my.yaml", script.file, script.flags, script.environment});
  if (!loaded.ok()) {
    std::vector<std::string> errors;
    for (const Diagnostic& one : loaded.diagnostics) errors.push_back(one.format());
    return errors;
  }
  PlanContext context;
  context.inherited = script.environment;
  context.run_id = "run";
  context.next_port = [next = 8100]() mutable -> OrError<int> { return next++; };
  context.vllm = version;
  context.cores = kCores;
  if (needs_gpus(loaded.options)) {
    ::setenv("FAKE_NVML", ("gpus " + std::to_string(gpus)).c_str(), 1);
    const auto value = [&](const char* name) -> std::optional<std::string> {
      const auto found = script.environment.find(name);
      if (found == script.environment.end()) return std::nullopt;
      return found->second;
    };
    auto pool =
        find_gpus(asked_gpus(loaded.options),
                  {value("CUDA_VISIBLE_DEVICES"), value("NVIDIA_VISIBLE_DEVICES")}, FAKE_NVML);
    if (!pool) return std::vector<std::string>{pool.error().text};
    context.gpus = pool->gpus;
  }
  return plan_engines(loaded.options, context);
}

constexpr const char* kQuiet = "--disable-access-log-for-endpoints";

// "MODEL and flags | variables that differ", of each engine; without what every engine has.
std::string started(const Script& script, const Version& version, int gpus = kGpus) {
  const EnginePlans plans = planned(script, version, gpus);
  if (!plans) return "refused: " + plans.error().front();
  std::string text;
  for (const EnginePlan& plan : *plans) {
    std::string line;
    for (std::size_t i = 2; i < plan.argv.size(); ++i) {
      const std::string& word = plan.argv[i];
      if (word == "--host" || word == "--port" || word == kQuiet) {
        ++i;
      } else if (word == "--served-model-name") {
        i += plan.served_names.size();
      } else {
        line += (line.empty() ? "" : " ") + word;
      }
    }
    line += " |";
    for (const auto& [name, value] : plan.environment.set) {
      if (name == "BATCHPROXY_ENGINE_ID" || name == "NO_COLOR" || name == "CUDA_DEVICE_ORDER" ||
          name == "VLLM_HTTP_TIMEOUT_KEEP_ALIVE" || name == "VLLM_LOGGING_COLOR") {
        continue;
      }
      line += " " + name + "=" + value;
    }
    text += (text.empty() ? "" : "\n") + line;
  }
  return text;
}

struct Row {
  std::string what;
  Script script;
  std::string started;           // by a new vLLM
  std::string started_by_old{};  // by an old one, where that differs
};

const Flag kModel{"--model", "m"};

std::vector<Row> rows() {
  return {
      {"--model", {{kModel}}, "m | CUDA_VISIBLE_DEVICES=0"},
      {"--gpus N",
       {{kModel, {"--gpus", "2"}, {"--servers", "auto"}}},
       "m | CUDA_VISIBLE_DEVICES=0\nm | CUDA_VISIBLE_DEVICES=1"},
      {"--gpus LIST",
       {{kModel, {"--gpus", "4,5"}, {"--servers", "auto"}}},
       "m | CUDA_VISIBLE_DEVICES=4\nm | CUDA_VISIBLE_DEVICES=5"},
      {"--gpu", {{kModel, {"--gpu", "7"}}}, "m | CUDA_VISIBLE_DEVICES=7"},
      {"--gpu-memory",
       {{kModel, {"--gpu-memory", "0.8"}}},
       "m --gpu-memory-utilization 0.8 | CUDA_VISIBLE_DEVICES=0"},
      {"--gpu-memory-utilization",
       {{kModel, {"--gpu-memory-utilization", "0.8"}}},
       "m --gpu-memory-utilization 0.8 | CUDA_VISIBLE_DEVICES=0"},
      {"--max-model-len",
       {{kModel, {"--max-model-len", "4096"}}},
       "m --max-model-len 4096 | CUDA_VISIBLE_DEVICES=0"},
      {"--tensor-parallel-size",
       {{kModel, {"--tensor-parallel-size", "2"}}},
       "m --tensor-parallel-size 2 | CUDA_VISIBLE_DEVICES=0,1"},
      {"--batch-size: ours, not the engine's",
       {{kModel, {"--batch-size", "8"}}},
       "m | CUDA_VISIBLE_DEVICES=0"},
      {"--servers",
       {{kModel, {"--servers", "2"}}},
       "m | CUDA_VISIBLE_DEVICES=0\nm | CUDA_VISIBLE_DEVICES=1"},
      {"launch m 4 0.9",
       {{{"--profile", "multi"}, kModel, {"--gpus", "4"}, {"--gpu-memory", "0.9"}}},
       "m --gpu-memory-utilization 0.9 --tensor-parallel-size 4 | CUDA_VISIBLE_DEVICES=0,1,2,3"},
      {"launch m: one word for all GPUs",
       {{{"--profile", "multi"}, kModel}},
       "m --tensor-parallel-size 8 --gpu-memory-utilization 0.85 | "
       "CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7"},
      {"--profile multi over four engines",
       {{kModel, {"--profile", "multi"}, {"--servers", "4"}, {"--gpus", "8"}}},
       "m --tensor-parallel-size 2 --gpu-memory-utilization 0.85 | CUDA_VISIBLE_DEVICES=0,1\n"
       "m --tensor-parallel-size 2 --gpu-memory-utilization 0.85 | CUDA_VISIBLE_DEVICES=2,3\n"
       "m --tensor-parallel-size 2 --gpu-memory-utilization 0.85 | CUDA_VISIBLE_DEVICES=4,5\n"
       "m --tensor-parallel-size 2 --gpu-memory-utilization 0.85 | CUDA_VISIBLE_DEVICES=6,7"},
      {"--profile single",
       {{kModel, {"--profile", "single"}}},
       "m --gpu-memory-utilization 0.9 | CUDA_VISIBLE_DEVICES=0"},
      {"--profile auto with eight",
       {{kModel, {"--profile", "auto"}}},
       "m --tensor-parallel-size 8 --gpu-memory-utilization 0.85 | "
       "CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7"},
      {"--profile cpu",
       {{kModel, {"--profile", "cpu"}}},
       "m | CUDA_VISIBLE_DEVICES= VLLM_CPU_KVCACHE_SPACE=4"},
      {"--profile cpu, two engines",
       {{kModel, {"--profile", "cpu"}, {"--servers", "2"}}},
       "m | CUDA_VISIBLE_DEVICES= VLLM_CPU_KVCACHE_SPACE=4 VLLM_CPU_OMP_THREADS_BIND=0-15\n"
       "m | CUDA_VISIBLE_DEVICES= VLLM_CPU_KVCACHE_SPACE=4 VLLM_CPU_OMP_THREADS_BIND=16-31"},
      {"--profile cpu keeps what is exported",
       {{kModel, {"--profile", "cpu"}, {"--servers", "1"}}, {{"VLLM_CPU_KVCACHE_SPACE", "40"}}},
       "m | CUDA_VISIBLE_DEVICES="},
      {"VLLM_MODEL", {{}, {{"VLLM_MODEL", "m"}}}, "m | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_TENSOR_PARALLEL_SIZE",
       {{kModel}, {{"VLLM_TENSOR_PARALLEL_SIZE", "2"}}},
       "m --tensor-parallel-size 2 | CUDA_VISIBLE_DEVICES=0,1"},
      {"VLLM_PIPELINE_PARALLEL_SIZE",
       {{kModel}, {{"VLLM_PIPELINE_PARALLEL_SIZE", "2"}}},
       "m --pipeline-parallel-size 2 | CUDA_VISIBLE_DEVICES=0,1"},
      {"VLLM_GPU_MEMORY_UTIL",
       {{kModel}, {{"VLLM_GPU_MEMORY_UTIL", "0.8"}}},
       "m --gpu-memory-utilization 0.8 | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_GPU_MEMORY_UTILIZATION",
       {{kModel}, {{"VLLM_GPU_MEMORY_UTILIZATION", "0.85"}}},
       "m --gpu-memory-utilization 0.85 | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_MAX_MODEL_LEN",
       {{kModel}, {{"VLLM_MAX_MODEL_LEN", "8192"}}},
       "m --max-model-len 8192 | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_MAX_NUM_SEQS",
       {{kModel}, {{"VLLM_MAX_NUM_SEQS", "64"}}},
       "m --max-num-seqs 64 | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_DTYPE",
       {{kModel}, {{"VLLM_DTYPE", "half"}}},
       "m --dtype half | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_QUANTIZATION",
       {{kModel}, {{"VLLM_QUANTIZATION", "awq"}}},
       "m --quantization awq | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_TRUST_REMOTE_CODE",
       {{kModel}, {{"VLLM_TRUST_REMOTE_CODE", "1"}}},
       "m --trust-remote-code | CUDA_VISIBLE_DEVICES=0"},
      {"VLLM_TRUST_REMOTE_CODE=0",
       {{kModel}, {{"VLLM_TRUST_REMOTE_CODE", "0"}}},
       "m | CUDA_VISIBLE_DEVICES=0"},
      {"LoRA, all of it",
       {{kModel},
        {{"VLLM_ENABLE_LORA", "1"}, {"VLLM_MAX_LORAS", "4"}, {"VLLM_MAX_LORA_RANK", "32"}}},
       "m --enable-lora --max-loras 4 --max-lora-rank 32 | CUDA_VISIBLE_DEVICES=0"},
      {"MAX_LORAS and MAX_LORA_RANK",
       {{kModel}, {{"VLLM_ENABLE_LORA", "true"}, {"MAX_LORAS", "4"}, {"MAX_LORA_RANK", "32"}}},
       "m --enable-lora --max-loras 4 --max-lora-rank 32 | CUDA_VISIBLE_DEVICES=0"},
      {"MAX_LORAS without LoRA", {{kModel}, {{"MAX_LORAS", "4"}}}, "m | CUDA_VISIBLE_DEVICES=0"},
      {"GPU_COUNT",
       {{kModel, {"--servers", "auto"}}, {{"GPU_COUNT", "2"}}},
       "m | CUDA_VISIBLE_DEVICES=0\nm | CUDA_VISIBLE_DEVICES=1"},
      {"CUDA_VISIBLE_DEVICES",
       {{kModel, {"--servers", "auto"}}, {{"CUDA_VISIBLE_DEVICES", "6,4"}}},
       "m | CUDA_VISIBLE_DEVICES=6\nm | CUDA_VISIBLE_DEVICES=4"},
      {"CUDA_VISIBLE_DEVICES with UUIDs",
       {{kModel}, {{"CUDA_VISIBLE_DEVICES", "GPU-00a0b0c5"}}},
       "m | CUDA_VISIBLE_DEVICES=5"},
      {"NVIDIA_VISIBLE_DEVICES",
       {{kModel, {"--servers", "auto"}}, {{"NVIDIA_VISIBLE_DEVICES", "2,3"}}},
       "m | CUDA_VISIBLE_DEVICES=2\nm | CUDA_VISIBLE_DEVICES=3"},
      {"both, as scripts write them",
       {{kModel, {"--profile", "multi"}},
        {{"CUDA_VISIBLE_DEVICES", "2,3"},
         {"NVIDIA_VISIBLE_DEVICES", "2,3"},
         {"CUDA_DEVICE_ORDER", "PCI_BUS_ID"},
         {"GPU_COUNT", "2"},
         {"VLLM_TENSOR_PARALLEL_SIZE", "2"},
         {"VLLM_PIPELINE_PARALLEL_SIZE", "1"},
         {"VLLM_GPU_MEMORY_UTILIZATION", "0.85"}}},
       "m --tensor-parallel-size 2 --pipeline-parallel-size 1 --gpu-memory-utilization 0.85 | "
       "CUDA_VISIBLE_DEVICES=2,3"},
      {"DEBUG=1", {{kModel}, {{"DEBUG", "1"}}}, "m | CUDA_VISIBLE_DEVICES=0"},
      {"DEBUG=2",
       {{kModel}, {{"DEBUG", "2"}}},
       "m | CUDA_VISIBLE_DEVICES=0 VLLM_LOGGING_LEVEL=DEBUG"},
      {"a flag wins over a file and a variable",
       {{{"--max-model-len", "1024"}, {"--gpu-memory", "0.5"}},
        {{"VLLM_MAX_MODEL_LEN", "8192"}},
        "model: {generator_settings: {boot_local: true, hf_model_id: f, vllm_args: {max_model_len: "
        "2048, gpu_memory_utilization: 0.9}}}"},
       "f --max-model-len 1024 --gpu-memory-utilization 0.5 | CUDA_VISIBLE_DEVICES=0"},
      {"an old script's arguments",
       {{kModel},
        {},
        "model: {generator_settings: {vllm_args: {swap_space: 4, task: embed, max_num_seqs: 64}}}"},
       "m --runner pooling --convert embed --max-num-seqs 64 | CUDA_VISIBLE_DEVICES=0",
       "m --swap-space 4 --task embed --max-num-seqs 64 | CUDA_VISIBLE_DEVICES=0"},
      {"what has to be written anew",
       {{kModel}, {}, "model: {generator_settings: {vllm_args: {rope_theta: 10000}}}"},
       "refused: vllm_args.rope_theta: vLLM 0.33.0 no longer has it: write hf_overrides: "
       "{rope_parameters: {rope_theta: ...}}",
       "m --rope-theta 10000 | CUDA_VISIBLE_DEVICES=0"},
      {"adapters",
       {{kModel},
        {},
        "model: {generator_settings: {vllm_args: {lora_modules: [sql=/a/sql, \"{\\\"name\\\": "
        "\\\"c\\\", \\\"path\\\": \\\"/a/c\\\"}\"]}}}"},
       "m --lora-modules sql=/a/sql {\"name\": \"c\", \"path\": \"/a/c\"} --enable-lora | "
       "CUDA_VISIBLE_DEVICES=0"},
  };
}

TEST(ScriptWords, BecomeTheCommandAndEnvironmentOfEngines) {
  for (const Row& row : rows()) {
    EXPECT_EQ(started(row.script, kNew), row.started) << row.what;
    EXPECT_EQ(started(row.script, kOld),
              row.started_by_old.empty() ? row.started : row.started_by_old)
        << row.what;
  }
}

TEST(ScriptWords, MeanByProfileAutoWhatTheMachineHas) {
  const Script script{{kModel, {"--profile", "auto"}}};
  EXPECT_EQ(started(script, kNew, 1), "m --gpu-memory-utilization 0.9 | CUDA_VISIBLE_DEVICES=0");
  EXPECT_EQ(started(script, kNew, 0), "m | CUDA_VISIBLE_DEVICES= VLLM_CPU_KVCACHE_SPACE=4");
  EXPECT_EQ(started(script, kNew, 6),  // no model's heads are divided by six
            "m --tensor-parallel-size 4 --gpu-memory-utilization 0.85 | "
            "CUDA_VISIBLE_DEVICES=0,1,2,3");
}

TEST(ScriptWords, DoNotReachEnginesThatWouldWarnOfThem) {
  const auto plans = planned({{},
                              {{"VLLM_MODEL", "m"},
                               {"VLLM_TENSOR_PARALLEL_SIZE", "2"},
                               {"VLLM_LOGGING_LEVEL", "INFO"},
                               {"GPU_COUNT", "8"}}},
                             kNew);
  ASSERT_TRUE(plans);
  EXPECT_THAT(plans->front().environment.unset,
              testing::ElementsAre("VLLM_MODEL", "VLLM_TENSOR_PARALLEL_SIZE"));
}

TEST(ScriptWords, LeaveOurProbesOutOfTheLogOfAVllmThatCan) {
  const auto has_flag = [](const Version& version, const std::string& vllm_args) {
    const Script script{
        {kModel}, {}, "model: {generator_settings: {vllm_args: {" + vllm_args + "}}}"};
    const EnginePlans plans = planned(script, version);
    return std::ranges::count(plans->front().argv, kQuiet) > 0;
  };
  EXPECT_TRUE(has_flag(kNew, ""));
  EXPECT_FALSE(has_flag(kOld, ""));
  EXPECT_FALSE(has_flag(kNew, "disable_uvicorn_access_log: true"));
  EXPECT_TRUE(planned({{kModel}}, kOld)->front().remarks.empty());
}

TEST(ScriptWords, NameAdaptersThatClientsMayAskFor) {
  const Script script{
      {kModel}, {}, "model: {generator_settings: {vllm_args: {lora_modules: sql=/a/sql}}}"};
  EXPECT_THAT(planned(script, kNew)->front().adapters, testing::ElementsAre("sql"));
}

TEST(ScriptWords, AreRefusedWithTheirOwnName) {
  EXPECT_THAT(started({{kModel, {"--gpu-memory", "1.5"}}}, kNew),
              HasSubstr("--gpu-memory: error: gpu_memory_utilization: expected a number above 0"));
  EXPECT_THAT(started({{kModel, {"--gpu", "1"}, {"--gpus", "2"}}}, kNew),
              HasSubstr("gpu and gpus are both given"));
  EXPECT_THAT(started({{kModel, {"--profile", "fast"}}}, kNew), HasSubstr("--profile: error:"));
}

}  // namespace
}  // namespace batchproxy
