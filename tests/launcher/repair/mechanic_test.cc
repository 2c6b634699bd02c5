// tests/launcher/repair/mechanic_test.cc - what is changed about an engine over its starts, and
// what is kept of that.
#include "launcher/repair/mechanic.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/memory/gpu_choice.h"
#include "launcher/repair/flags.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kTooSmall =
    "ValueError: To serve at least one request with the model's max seq len (32768), (16.0 GiB KV "
    "cache is needed, which is larger than the available KV cache memory (4.85 GiB). Based on the "
    "available memory, the estimated maximum model length is 9936.\n";
constexpr const char* kSampler =
    "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. "
    "Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the "
    "engine.\n";

class MechanicTest : public testing::Test {
 protected:
  MechanicTest() {
    ::setenv("XDG_STATE_HOME", directory_.file("state").c_str(), 1);
    plan_.name = "engine-0";
    plan_.model = "org/model";
    plan_.gpus = {Gpu(0)};
    plan_.argv = {"vllm", "serve", "org/model"};
    plan_.log_file = directory_.file("engine-0.log");
    plan_.version = Version{0, 32, 0};
  }
  ~MechanicTest() override { ::unsetenv("XDG_STATE_HOME"); }

  void pin(const std::string& name, const std::string& value) {
    plan_.arguments.push_back({name, value});
    set_flag(plan_.argv, "--max-model-len", value);
  }
  void log(const std::string& text) { std::ofstream(plan_.log_file) << text; }
  std::string context() const { return flag_value(plan_.argv, "--max-model-len").value_or(""); }

  TemporaryDirectory directory_;
  Options options_;
  EnginePlan plan_;
};

TEST_F(MechanicTest, ShortensAContextThatDoesNotFitAndSaysSo) {
  Mechanic mechanic(options_, {});
  EXPECT_THAT(mechanic.prepare(plan_), IsEmpty());
  log(kTooSmall);
  const FailureReport report = mechanic.after_failed_start(plan_, 0);
  EXPECT_TRUE(report.is_repaired);
  EXPECT_FALSE(report.is_hopeless);
  EXPECT_EQ(report.cause, Cause::kKvTooSmall);
  EXPECT_THAT(report.lines, Contains(StartsWith("repair: max_model_len")));
  EXPECT_GE(std::stoi(context()), 9904);
  EXPECT_LE(std::stoi(context()), 9936);
  EXPECT_THAT(mechanic.repairs(0), ElementsAre(HasSubstr("max_model_len")));
}

TEST_F(MechanicTest, LeavesAContextThatTheUserHasSet) {
  pin("max_model_len", "32768");
  Mechanic mechanic(options_, {});
  mechanic.prepare(plan_);
  log(kTooSmall);
  const FailureReport report = mechanic.after_failed_start(plan_, 0);
  EXPECT_FALSE(report.is_repaired);
  EXPECT_TRUE(report.is_hopeless) << "the next start would end in the same way";
  EXPECT_THAT(report.lines, Contains(HasSubstr("was set by you")));
  EXPECT_THAT(report.lines, Contains(StartsWith("1. ")));
  EXPECT_EQ(context(), "32768");
}

TEST_F(MechanicTest, RemembersWhatHelpedAndOnlyThat) {
  {
    Mechanic mechanic(options_, {});
    mechanic.prepare(plan_);
    log(kTooSmall);
    mechanic.after_failed_start(plan_, 0);
  }
  EnginePlan again = plan_;
  again.argv = {"vllm", "serve", "org/model"};
  {
    Mechanic mechanic(options_, {});
    EXPECT_THAT(mechanic.prepare(again), IsEmpty()) << "it never came up with it";
    mechanic.after_failed_start(again, 0);
    mechanic.after_good_start(again, 0);
  }
  const std::string helped = *flag_value(again.argv, "--max-model-len");
  again.argv = {"vllm", "serve", "org/model"};
  Mechanic mechanic(options_, {});
  EXPECT_THAT(mechanic.prepare(again), ElementsAre(HasSubstr("as in an earlier run")));
  EXPECT_EQ(flag_value(again.argv, "--max-model-len"), helped);
}

TEST_F(MechanicTest, WhatTheUserSetsLaterCountsMore) {
  {
    Mechanic mechanic(options_, {});
    mechanic.prepare(plan_);
    log(kTooSmall);
    mechanic.after_failed_start(plan_, 0);
    mechanic.after_good_start(plan_, 0);
  }
  plan_.argv = {"vllm", "serve", "org/model"};
  pin("max_model_len", "4096");
  Mechanic mechanic(options_, {});
  EXPECT_THAT(mechanic.prepare(plan_), IsEmpty());
  EXPECT_EQ(context(), "4096");
}

TEST_F(MechanicTest, ChangesNothingWhereItMayNot) {
  log(kTooSmall);
  options_.proxy.launcher.repair.value = false;
  EXPECT_FALSE(Mechanic(options_, {}).after_failed_start(plan_, 0).is_repaired);
  options_.proxy.launcher.repair.value = true;
  options_.proxy.launcher.engine.value = "command";
  const FailureReport report = Mechanic(options_, {}).after_failed_start(plan_, 0);
  EXPECT_FALSE(report.is_repaired) << "the arguments of a command are its own";
  EXPECT_EQ(report.cause, Cause::kKvTooSmall) << "but what it failed of is told";
  EXPECT_EQ(context(), "");
}

TEST_F(MechanicTest, ReadsOnlyTheRunInQuestion) {
  log(std::string(kTooSmall) + "the next run\n");
  Mechanic mechanic(options_, {});
  EXPECT_TRUE(mechanic.after_failed_start(plan_, 0).cause);
  EXPECT_FALSE(mechanic.after_failed_start(plan_, std::string(kTooSmall).size()).cause);
}

TEST_F(MechanicTest, AFailureThatMayPassIsNotHopeless) {
  log("OSError: [Errno 98] Address already in use\n");
  EXPECT_FALSE(Mechanic(options_, {}).after_failed_start(plan_, 0).is_hopeless);
  log("nothing that anybody knows\n");
  EXPECT_FALSE(Mechanic(options_, {}).after_failed_start(plan_, 0).is_hopeless);
}

TEST_F(MechanicTest, TellsADeathByItsCause) {
  log("INFO:     Application startup complete.\n"
      "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup\n");
  EXPECT_THAT(Mechanic(options_, {}).after_death(plan_, 0).lines, Contains(StartsWith("cause: ")));
}

constexpr const char* kTooHeavy =
    "  File \"/v/model_loader/utils.py\", line 1, in initialize_model\n"
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 786.00 MiB. GPU 0 has a total "
    "capacity of 79.19 GiB of which 412.06 MiB is free.\n";
constexpr const char* kHeldByOthers =
    "ValueError: Free memory on device cuda:0 (10.87/79.19 GiB) on startup is less than desired "
    "GPU memory utilization (0.9, 71.27 GiB).\n";

class SpareGpusTest : public MechanicTest {
 protected:
  SpareGpusTest() {
    plan_.environment.set["CUDA_VISIBLE_DEVICES"] = "0";
    gpus_ = *assumed_gpus("4xH100-80GB");
    gpus_[2].free = gpus_[2].total / 2;
    spare_.gpus = {Gpu(2), Gpu(1), Gpu(3)};
    spare_.look = [this](const Gpus& of) {
      PlanGpus found;
      for (const Gpu& gpu : of) found.push_back(gpus_[static_cast<std::size_t>(gpu.index)]);
      return found;
    };
  }
  Mechanic mechanic() const { return {options_, {gpus_[0]}, spare_}; }
  std::string pinned() const { return plan_.environment.set.at("CUDA_VISIBLE_DEVICES"); }

  PlanGpus gpus_;
  SpareGpus spare_;
};

TEST_F(SpareGpusTest, WithTheMostFreeMemoryAreAddedWhereOneIsTooSmall) {
  Mechanic its = mechanic();
  its.prepare(plan_);
  log(kTooHeavy);
  const FailureReport report = its.after_failed_start(plan_, 0);
  EXPECT_THAT(report.lines, Contains(HasSubstr("tensor_parallel_size -> 2")));
  EXPECT_THAT(report.lines, Contains(HasSubstr("; GPUs 0 -> 0,1"))) << "2 is half full";
  EXPECT_EQ(plan_.gpus, (Gpus{0, 1}));
  EXPECT_EQ(pinned(), "0,1");
  EXPECT_THAT(its.repairs(0), Contains("GPUs 0 -> 0,1"));
  its.after_good_start(plan_, 0);

  plan_.argv = {"vllm", "serve", "org/model"};
  plan_.gpus = {0};
  Mechanic next = mechanic();
  EXPECT_THAT(next.prepare(plan_), Contains(HasSubstr("in an earlier run: GPUs 0 -> 0,1")));
  EXPECT_EQ(flag_value(plan_.argv, "--tensor-parallel-size"), "2");

  plan_.argv = {"vllm", "serve", "org/model"};
  plan_.gpus = {0};
  spare_.gpus.clear();
  Mechanic without = mechanic();
  EXPECT_THAT(without.prepare(plan_), IsEmpty());
  EXPECT_EQ(flag_value(plan_.argv, "--tensor-parallel-size"), std::nullopt);
}

TEST_F(SpareGpusTest, AreClaimedWhenTheyAreTakenAndLeftToWhoeverHasThem) {
  std::map<std::string, std::weak_ptr<int>> held;
  spare_.claim = [&held](const Gpu& gpu) -> SpareGpus::Claim {
    if (gpu == Gpu(1)) return nullptr;  // another batchproxy's
    auto claim = std::make_shared<int>();
    held[gpu.name()] = claim;
    return claim;
  };
  Mechanic its = mechanic();
  its.prepare(plan_);
  log(kTooHeavy);
  its.after_failed_start(plan_, 0);
  EXPECT_EQ(plan_.gpus, (Gpus{0, 3}));
  EXPECT_FALSE(held["3"].expired());
  EXPECT_TRUE(held["2"].expired()) << "it was only asked for";
}

TEST_F(SpareGpusTest, CountAgainOnceTheirHolderHasGone) {
  bool held = true;
  spare_.claim = [&held](const Gpu&) -> SpareGpus::Claim {
    return held ? nullptr : std::make_shared<int>();
  };
  Mechanic its = mechanic();
  its.prepare(plan_);
  log(kTooHeavy);
  its.after_failed_start(plan_, 0);
  EXPECT_EQ(plan_.gpus, Gpus{0}) << "another batchproxy has the others";
  held = false;
  its.after_failed_start(plan_, 0);
  EXPECT_EQ(plan_.gpus, (Gpus{0, 1}));
}

TEST_F(SpareGpusTest, ReplaceThoseThatSomebodyElseHolds) {
  set_flag(plan_.argv, "--gpu-memory-utilization", "0.9");
  Mechanic its = mechanic();
  its.prepare(plan_);
  log(kHeldByOthers);
  its.after_failed_start(plan_, 0);
  EXPECT_EQ(pinned(), "0") << "it may pass";
  const FailureReport report = its.after_failed_start(plan_, 0);
  EXPECT_THAT(report.lines, Contains(HasSubstr("GPUs 0 -> 1")));
  EXPECT_EQ(pinned(), "1");
  EXPECT_EQ(plan_.gpus, Gpus{1});
  its.after_good_start(plan_, 0);

  plan_.gpus = {0};
  Mechanic next = mechanic();
  EXPECT_THAT(next.prepare(plan_), IsEmpty()) << "at another time they hold nothing, or others";
}

TEST_F(SpareGpusTest, AreLeftAloneWhereTheUserHasSaidHowMany) {
  set_flag(plan_.argv, "--tensor-parallel-size", "1");
  Mechanic its = mechanic();
  its.prepare(plan_);
  log(kTooHeavy);
  its.after_failed_start(plan_, 0);
  EXPECT_EQ(plan_.gpus.size(), 1U);
}

// A model of 14.9 GiB with a context of 131,072 tokens, on a GPU of 24 GiB.
class FittedContextTest : public MechanicTest {
 protected:
  FittedContextTest() {
    const fs::path model = directory_.file("model");
    fs::create_directories(model);
    std::ofstream(model / "config.json")
        << R"({"model_type":"llama","hidden_size":4096,"intermediate_size":14336,
        "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,
        "vocab_size":128256,"max_position_embeddings":131072})";
    const std::string header =
        R"({"model.layers.0.w":{"dtype":"BF16","shape":[8000000000],"data_offsets":[0,16000000000]}})";
    std::ofstream file(model / "model.safetensors", std::ios::binary);
    std::uint64_t length = header.size();
    for (int i = 0; i < 8; ++i, length >>= 8) file.put(static_cast<char>(length & 0xff));
    file << header;
    file.close();
    fs::resize_file(model / "model.safetensors", 8 + header.size() + 16000000000);
    plan_.model = model.string();
    plan_.argv = {"vllm", "serve", plan_.model};
  }
};

TEST_F(FittedContextTest, IsChosenBeforeTheFirstStart) {
  Mechanic mechanic(options_, *assumed_gpus("1x24GiB"));
  EXPECT_THAT(mechanic.prepare(plan_), Contains(HasSubstr("max_model_len 131072 -> ")));
  EXPECT_GT(std::stoi(context()), 2048);
  EXPECT_LT(std::stoi(context()), 131072);
}

TEST_F(FittedContextTest, IsChosenForAModelOfTheHubsCache) {
  const fs::path cached = directory_.file("hf/hub/models--org--cached");
  fs::create_directories(cached / "snapshots");
  fs::create_directories(cached / "refs");
  fs::rename(plan_.model, cached / "snapshots" / "abc");
  std::ofstream(cached / "refs" / "main") << "abc";
  ::setenv("HF_HOME", directory_.file("hf").c_str(), 1);
  plan_.model = "org/cached";
  plan_.argv = {"vllm", "serve", plan_.model};
  Mechanic mechanic(options_, *assumed_gpus("1x24GiB"));
  EXPECT_THAT(mechanic.prepare(plan_), Contains(HasSubstr("max_model_len 131072 -> ")));
  ::unsetenv("HF_HOME");
}

TEST_F(FittedContextTest, OutlivesARepairOfSomethingElse) {
  Mechanic mechanic(options_, *assumed_gpus("1x24GiB"));
  mechanic.prepare(plan_);
  const std::string fitted = context();
  log(kSampler);
  ASSERT_TRUE(mechanic.after_failed_start(plan_, 0).is_repaired);
  EXPECT_TRUE(flag_value(plan_.argv, "--max-num-seqs"));
  EXPECT_EQ(context(), fitted);
}

TEST_F(FittedContextTest, IsNotChosenForAnEngineWhoseGpusAreNotKnown) {
  Mechanic mechanic(options_, {});
  EXPECT_THAT(mechanic.prepare(plan_), Not(Contains(HasSubstr("max_model_len"))));
  EXPECT_EQ(context(), "");
}

// A hybrid of full attention and recurrent layers, whose states leave room for few requests.
class FittedSequencesTest : public FittedContextTest {
 protected:
  FittedSequencesTest() {
    std::ofstream(fs::path(plan_.model) / "config.json")
        << R"({"model_type":"qwen3_5","text_config":{"hidden_size":4096,"intermediate_size":12288,
        "num_hidden_layers":32,"num_attention_heads":16,"num_key_value_heads":4,"head_dim":256,
        "full_attention_interval":4,"linear_num_value_heads":32,"linear_num_key_heads":16,
        "linear_key_head_dim":128,"linear_value_head_dim":128,"linear_conv_kernel_dim":4,
        "vocab_size":248320,"max_position_embeddings":8192}})";
  }
  std::string sequences() const { return flag_value(plan_.argv, "--max-num-seqs").value_or(""); }
};

TEST_F(FittedSequencesTest, AreSetBeforeTheFirstStartAndSaid) {
  Mechanic mechanic(options_, *assumed_gpus("1x21GiB"));
  const auto said = mechanic.prepare(plan_);
  ASSERT_NE(sequences(), "");
  EXPECT_THAT(said, Contains(HasSubstr("engine-0: max_num_seqs 256 -> " + sequences() + ": each")));
  EXPECT_LT(std::stoi(sequences()), 256);
  EXPECT_EQ(plan_.max_num_seqs, std::stoi(sequences())) << "what is sent to it at once";
  EXPECT_THAT(mechanic.repairs(0), Contains(HasSubstr("max_num_seqs 256 -> ")));
}

TEST_F(FittedSequencesTest, OfTheUserAreLeft) {
  plan_.arguments.push_back({"max_num_seqs", "200"});
  set_flag(plan_.argv, "--max-num-seqs", "200");
  Mechanic mechanic(options_, *assumed_gpus("1x21GiB"));
  EXPECT_THAT(mechanic.prepare(plan_), Contains(HasSubstr("--max-num-seqs 200 is more than")));
  EXPECT_EQ(sequences(), "200");
}

}  // namespace
}  // namespace batchproxy
