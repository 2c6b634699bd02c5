// tests/launcher/repair/repair_test.cc - what is changed for which cause, in which order, and when
// nothing.
#include "launcher/repair/repair.h"

#include <utility>

#include <gtest/gtest.h>

#include "launcher/repair/flags.h"

namespace batchproxy {
namespace {

using Kind = RepairKind;

// A failing engine, as a small language.
struct Engine {
  RepairSubject subject{{"vllm", "serve", "m"}, {}};
  RepairMachine machine;
  RepairOptions options;
  RepairHistory history;

  Engine& with(std::initializer_list<std::string> words) {
    subject.argv.insert(subject.argv.end(), words);
    return *this;
  }

  RepairDecision after(Cause cause, const Figures& figures = {}) const {
    return next_repair(cause, figures, subject, machine, history, options);
  }

  // Fails for the same reason until nothing is left; what was changed, in words.
  std::string course(Cause cause, const Figures& figures = {}) {
    std::string text;
    while (const auto repair = after(cause, figures).repair) {
      text += text.empty() ? "" : ", ";
      text += repair->changes.empty() ? word(repair->kind) : "";
      for (const RepairChange& change : repair->changes) {
        text += (&change == repair->changes.data() ? "" : " + ") + change.name +
                (change.after->empty() ? "" : " " + *change.after);
      }
      apply_changes(repair->changes, subject.argv, subject.environment);
      history.push_back(repair->kind);
    }
    return text;
  }
};

Figures kv(double context, double needed, double available, std::optional<double> longest = {}) {
  Figures figures;
  figures.context = context;
  figures.needed_gib = needed;
  figures.available_gib = available;
  figures.longest_context = longest;
  return figures;
}

TEST(Repair, OfAContextThatDoesNotFitTakesTheOneThatVllmNames) {
  Engine engine;
  const auto decision = engine.with({"--max-model-len", "32768"})
                            .after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920));
  ASSERT_TRUE(decision.repair);
  EXPECT_EQ(decision.repair->kind, Kind::kContext);
  EXPECT_EQ(decision.repair->changes,
            (std::vector<RepairChange>{{false, "--max-model-len", "32768", "9920"}}));
  EXPECT_EQ(decision.repair->sentence,
            "max_model_len 32768 -> 9920: the KV cache has 4.85 GiB, and a request of 32768 tokens "
            "needs 16 GiB; longer requests are refused from now on");
}

TEST(Repair, OfAContextIsWorkedOutWhereVllmNamesNone) {
  const auto decision = Engine().after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85));
  ASSERT_TRUE(decision.repair);
  EXPECT_EQ(decision.repair->changes.front().after, "9904");
}

TEST(Repair, NeverTouchesAPinnedContext) {
  Engine engine;
  engine.subject.is_context_pinned = true;
  const auto decision = engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920));
  EXPECT_FALSE(decision.repair);
  EXPECT_EQ(decision.reason, "max_model_len was set by you and is left as it is.");
}

TEST(Repair, OfAPinnedContextRaisesTheUtilizationOnlyIfThatIsEnough) {
  Engine engine;
  engine.subject.is_context_pinned = true;
  engine.machine.gpu_total_gib = 80;
  EXPECT_FALSE(engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920)).repair);
  const auto decision = engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 13.0, 26624));
  ASSERT_TRUE(decision.repair);
  EXPECT_EQ(decision.repair->changes.front(),
            (RepairChange{false, "--gpu-memory-utilization", {}, "0.95"}));
}

TEST(Repair, OfAPinnedContextSpreadsTheModelOverSpareGpus) {
  Engine engine;
  engine.subject.is_context_pinned = true;
  engine.machine.spare_gpus = 1;
  engine.machine.allowed_parallel = {{1, 2, 4, 8}};
  const auto decision = engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920));
  ASSERT_TRUE(decision.repair);
  EXPECT_EQ(decision.repair->kind, Kind::kTensorParallel);
  EXPECT_EQ(decision.repair->gpus_wanted, 2);
  engine.machine.allowed_parallel = {{1, 3, 9}};
  const auto stages = engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920));
  ASSERT_TRUE(stages.repair);
  EXPECT_EQ(stages.repair->kind, Kind::kPipeline) << "nine heads cannot be halved";
  EXPECT_EQ(stages.repair->gpus_wanted, 2);
  engine.machine.spare_gpus = 0;
  EXPECT_FALSE(engine.after(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920)).repair);
}

TEST(Repair, DoesNotServeAContextThatServesNobody) {
  EXPECT_FALSE(Engine().after(Cause::kKvTooSmall, kv(32768, 16.0, 0.1, 192)).repair);
}

TEST(Repair, StoresTheKvCacheInFp8OnlyIfAllowed) {
  Engine engine;
  engine.subject.is_context_pinned = true;
  engine.options.may_kv_fp8 = true;
  EXPECT_EQ(engine.course(Cause::kKvTooSmall, kv(32768, 16.0, 4.85, 9920)), "--kv-cache-dtype fp8");
  EXPECT_FALSE(Engine()
                   .with({"--kv-cache-dtype", "auto"})
                   .after(Cause::kKvNone)
                   .repair->changes.front()
                   .name.starts_with("--kv"));
}

TEST(Repair, GoesOnInTheOrderOfWhatItCosts) {
  Engine engine;
  engine.options.most_attempts = 20;
  engine.machine.spare_gpus = 3;
  engine.machine.allowed_parallel = {{1, 2, 4, 8}};
  EXPECT_EQ(engine.course(Cause::kKvNone),
            "--gpu-memory-utilization 0.95, --max-num-seqs 128, --max-num-seqs 64, "
            "--max-num-seqs 32, --max-num-seqs 16, --max-num-seqs 8, --max-num-batched-tokens "
            "4096, --max-num-batched-tokens 2048, --max-num-batched-tokens 1024, "
            "--max-num-batched-tokens 512, --tensor-parallel-size 2, --tensor-parallel-size 4")
      << "only what the test's machine has is spare";
}

TEST(Repair, IsBounded) {
  Engine engine;
  EXPECT_EQ(engine.course(Cause::kOomGraphs),
            "--gpu-memory-utilization 0.85, --gpu-memory-utilization 0.80, "
            "--gpu-memory-utilization 0.75");
  const auto decision = engine.after(Cause::kOomGraphs);
  EXPECT_FALSE(decision.repair);
  EXPECT_TRUE(decision.reason.starts_with("3 repairs were tried")) << decision.reason;
}

TEST(Repair, TakesTheNumberOfStateBlocksFromTheMessage) {
  Figures figures;
  figures.sequences = 1024;
  figures.most_sequences = 600;
  Engine engine;
  EXPECT_EQ(engine.course(Cause::kMambaBlocks, figures).substr(0, 18), "--max-num-seqs 600");
  figures.most_sequences = 3;
  EXPECT_EQ(Engine().after(Cause::kMambaBlocks, figures).repair->kind, Kind::kUtilization);
}

TEST(Repair, OfAnOomGoesByTheStage) {
  EXPECT_FALSE(Engine().after(Cause::kOomLoad).repair) << "no utilization makes weights smaller";
  Engine engine;
  engine.machine.spare_gpus = 1;
  EXPECT_EQ(engine.after(Cause::kOomLoad).repair->kind, Kind::kTensorParallel);
  EXPECT_EQ(Engine().after(Cause::kOomProfile).repair->kind, Kind::kBatchedTokens);
  EXPECT_EQ(Engine().after(Cause::kOomGraphs).repair->kind, Kind::kUtilization);
  Figures figures;
  figures.sequences = 1024;
  EXPECT_EQ(Engine().after(Cause::kOomSampler, figures).repair->changes.front().after, "512");
}

TEST(Repair, WaitsOnceForMemoryThatSomebodyHoldsAndThenTakesLess) {
  Figures figures;
  figures.free_gib = 60.87;
  figures.total_gib = 79.19;
  figures.utilization = 0.95;
  Engine engine;
  EXPECT_EQ(engine.with({"--gpu-memory-utilization=0.95"}).course(Cause::kFreeMemory, figures),
            "wait, --gpu-memory-utilization 0.75");
  engine = Engine();
  engine.subject.is_utilization_pinned = true;
  engine.machine.spare_gpus = 1;
  EXPECT_EQ(engine.course(Cause::kFreeMemory, figures), "wait, other_gpus");
}

TEST(Repair, SetsEachVariableOnce) {
  EXPECT_EQ(Engine().course(Cause::kNoNvcc), "VLLM_USE_FLASHINFER_SAMPLER 0");
  EXPECT_EQ(Engine().course(Cause::kJitBuild), "VLLM_USE_FLASHINFER_SAMPLER 0");
  EXPECT_EQ(Engine().course(Cause::kCudaFork), "VLLM_WORKER_MULTIPROC_METHOD spawn");
  EXPECT_EQ(Engine().with({"-tp", "2"}).course(Cause::kNccl),
            "NCCL_P2P_DISABLE 1 + --disable-custom-all-reduce, wait");
  EXPECT_EQ(Engine().course(Cause::kNccl), "wait") << "one GPU has no peer";
  EXPECT_EQ(Engine().with({"-tp", "2"}).course(Cause::kSlowOrHung),
            "NCCL_P2P_DISABLE 1 + --disable-custom-all-reduce");
  Engine engine;
  engine.subject.environment["VLLM_USE_FLASHINFER_SAMPLER"] = "0";
  EXPECT_FALSE(engine.after(Cause::kNoNvcc).repair) << "it is set already";
}

TEST(Repair, TakesTheRightValueFromTheMessage) {
  Figures figures;
  figures.lora_rank = 48;
  EXPECT_EQ(Engine().after(Cause::kLoraRank, figures).repair->changes.front(),
            (RepairChange{false, "--max-lora-rank", {}, "64"}));
  figures = {};
  figures.parts = 28;
  figures.ranks = 8;
  EXPECT_EQ(Engine().with({"-tp=8"}).after(Cause::kHeadsTp, figures).repair->changes.front(),
            (RepairChange{false, "--tensor-parallel-size", "8", "7"}));
  figures = {};
  figures.context = 9000;
  figures.longest_context = 4096;
  EXPECT_EQ(Engine().after(Cause::kLenGtDerived, figures).repair->changes.front().after, "4096");
  EXPECT_EQ(Engine().after(Cause::kBf16Unsupported).repair->changes.front().after, "half");
  EXPECT_FALSE(Engine().with({"--dtype", "bfloat16"}).after(Cause::kBf16Unsupported).repair);
}

TEST(Repair, StartsAgainWhatMayPassByItself) {
  for (const Cause cause :
       {Cause::kPortInUse, Cause::kPortInUse2, Cause::kMemoryGrew, Cause::kCrashed}) {
    EXPECT_EQ(Engine().course(cause), "wait") << describe(cause).word;
  }
}

TEST(Repair, LeavesToPeopleWhatOnlyTheyCanPutRight) {
  for (const Cause cause :
       {Cause::kTrustRemoteCode, Cause::kGated, Cause::kModelNotFound, Cause::kArchUnsupported,
        Cause::kWeightsBroken, Cause::kNoDriver, Cause::kBadArgs, Cause::kDiskFull,
        Cause::kShmSmall, Cause::kKilled, Cause::kImportError, Cause::kConfigError}) {
    const auto decision = Engine().after(cause);
    EXPECT_FALSE(decision.repair) << describe(cause).word;
    EXPECT_FALSE(decision.reason.empty()) << describe(cause).word;
  }
}

TEST(Repair, NeverTrustsCodeNorMakesItWorse) {
  for (const Cause cause : kAll<Cause>) {
    Engine engine;
    engine.options.most_attempts = 30;
    engine.options.may_kv_fp8 = true;
    engine.options.cpu_offload_gib = 8;
    engine.machine.spare_gpus = 7;
    Figures figures = kv(32768, 16.0, 4.85, 9920);
    figures.free_gib = 10;
    figures.total_gib = 80;
    figures.lora_rank = 48;
    const std::string course = engine.course(cause, figures);
    for (const char* forbidden : {"trust-remote-code", "ESTIMATE_CUDAGRAPHS", "--model ", "port",
                                  "--enforce-eager", "--load-format"}) {
      EXPECT_EQ(course.find(forbidden), std::string::npos)
          << describe(cause).word << ": " << course;
    }
  }
}

TEST(RepairSubject, HasPinnedWhatStandsInThePlan) {
  RepairSubject subject = subject_of({"vllm", "serve", "m"}, {{"A", "1"}});
  EXPECT_FALSE(subject.is_context_pinned || subject.is_utilization_pinned ||
               subject.is_sequences_pinned || subject.is_batched_pinned ||
               subject.is_parallel_pinned);
  EXPECT_EQ(subject.environment, (Environment{{"A", "1"}}));
  subject = subject_of({"vllm", "--max_model_len=8k", "--gpu-memory-utilization", "0.8",
                        "--max-num-seqs", "4", "--max-num-batched-tokens", "512", "-tp", "2"},
                       {});
  EXPECT_TRUE(subject.is_context_pinned && subject.is_utilization_pinned &&
              subject.is_sequences_pinned && subject.is_batched_pinned &&
              subject.is_parallel_pinned);
  EXPECT_FALSE(subject_of({"vllm", "--max-model-len", "auto"}, {}).is_context_pinned);
  EXPECT_FALSE(subject_of({"vllm", "--max-model-len", "-1"}, {}).is_context_pinned);
}

TEST(Repair, HasAWordForEachKind) {
  for (const RepairKind kind : kAll<RepairKind>) EXPECT_EQ(repair_kind_of(word(kind)), kind);
  EXPECT_EQ(repair_kind_of("prayer"), RepairKind::kCount);
}

TEST(Flags, AreFoundInEachForm) {
  const std::vector<std::string> argv{
      "vllm", "--max_model_len=8k", "-tp", "2", "--enforce-eager", "--seed", "-1", "--seed", "7"};
  EXPECT_EQ(flag_value(argv, "--max-model-len"), "8k");
  EXPECT_EQ(flag_number(argv, "--max-model-len"), 8000);
  EXPECT_EQ(flag_number(argv, "--tensor-parallel-size"), 2);
  EXPECT_EQ(flag_value(argv, "--enforce-eager"), "");
  EXPECT_EQ(flag_value(argv, "--seed"), "7");
  EXPECT_EQ(flag_value(argv, "--dtype"), std::nullopt);
}

TEST(Flags, AreChangedWhereTheyStand) {
  std::vector<std::string> argv{"vllm", "--max_model_len=8k", "--enforce-eager"};
  set_flag(argv, "--max-model-len", "4096");
  set_flag(argv, "--max-num-seqs", "8");
  set_flag(argv, "--disable-custom-all-reduce", "");
  EXPECT_EQ(argv, (std::vector<std::string>{"vllm", "--max-model-len", "4096", "--enforce-eager",
                                            "--max-num-seqs", "8", "--disable-custom-all-reduce"}));
  remove_flag(argv, "--max-model-len");
  remove_flag(argv, "--enforce-eager");
  EXPECT_EQ(argv, (std::vector<std::string>{"vllm", "--max-num-seqs", "8",
                                            "--disable-custom-all-reduce"}));
}

TEST(Flags, AreAppliedWithVariables) {
  std::vector<std::string> argv{"vllm"};
  Environment environment{{"A", "1"}};
  apply_changes({{true, "A", "1", std::nullopt}, {true, "B", {}, "2"}, {false, "--x", {}, "3"}},
                argv, environment);
  EXPECT_EQ(environment, (Environment{{"B", "2"}}));
  EXPECT_EQ(argv, (std::vector<std::string>{"vllm", "--x", "3"}));
}

}  // namespace
}  // namespace batchproxy
