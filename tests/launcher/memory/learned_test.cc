// tests/launcher/memory/learned_test.cc - logs read into budgets, and budgets kept in a file.
#include "launcher/memory/learned/learned.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "launcher/memory/model/memory_size.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

EngineBudget budget_of(const std::vector<std::string>& lines) {
  BudgetReader reader;
  for (const std::string& line : lines) reader.read_line(line);
  return reader.budget();
}

TEST(EngineBudget, OfVersion19) {
  const EngineBudget budget = budget_of({
      "(EngineCore pid=242) INFO 04-22 00:04:02 [gpu_model_runner.py:4820] Model loading took "
      "14.99 "
      "GiB memory and 14.429680 seconds",
      "(EngineCore pid=242) INFO 04-22 00:04:20 [gpu_model_runner.py:5955] Estimated CUDA graph "
      "memory: 0.84 GiB total",
      "(EngineCore pid=242) INFO 04-22 00:04:20 [gpu_worker.py:436] Available KV cache memory: "
      "58.11 GiB",
      "(EngineCore pid=242) INFO 04-22 00:04:20 [kv_cache_utils.py:1319] GPU KV cache size: "
      "476,016 "
      "tokens",
      "(EngineCore pid=242) INFO 04-22 00:04:20 [kv_cache_utils.py:1324] Maximum concurrency for "
      "8,192 tokens per request: 58.11x",
  });
  EXPECT_EQ(budget.weights, from_gib(14.99));
  EXPECT_EQ(budget.graphs, from_gib(0.84));
  EXPECT_EQ(budget.available_kv, from_gib(58.11));
  EXPECT_EQ(budget.kv_tokens, 476016);
  EXPECT_EQ(budget.max_model_len, 8192);
  EXPECT_EQ(budget.max_concurrency, 58.11);
}

TEST(EngineBudget, OfVersion33) {
  const EngineBudget budget = budget_of({
      "Model loading took 15.0 GiB memory and 9.1 seconds",
      "INFO 11-20 10:00:00 [gpu_worker.py:600] Free memory on device (78.6/79.19 GiB) on startup. "
      "Desired GPU memory utilization is (0.92, 72.86 GiB). Actual usage is 15.3 GiB for consumed "
      "memory (weights + non-torch), 1.9 GiB for peak activation, and 0.8 GiB for CUDAGraph "
      "memory. "
      "Replace gpu_memory_utilization config with `--kv-cache-memory=58000000000` ...",
      "GPU + host KV cache size: 476,016 tokens, Maximum concurrency for 8,192 tokens per request: "
      "58.11x",
  });
  EXPECT_EQ(budget.total, from_gib(79.19));
  EXPECT_EQ(budget.requested, from_gib(72.86));
  EXPECT_EQ(budget.non_torch, from_gib(15.3) - from_gib(15.0));
  EXPECT_EQ(budget.activation, from_gib(1.9));
  EXPECT_EQ(budget.graphs, from_gib(0.8));
  EXPECT_EQ(budget.kv_tokens, 476016);
}

TEST(EngineBudget, OfV0) {
  const EngineBudget budget =
      budget_of({"Loading model weights took 14.9596 GB",
                 "model weights take 14.96GiB; non_torch_memory takes 0.10GiB; PyTorch activation "
                 "peak memory "
                 "takes 9.37GiB; the rest of the memory reserved for KV Cache is 11.12GiB."});
  EXPECT_EQ(budget.weights, from_gib(14.96));
  EXPECT_EQ(budget.non_torch, from_gib(0.10));
  EXPECT_EQ(budget.activation, from_gib(9.37));
  EXPECT_EQ(budget.available_kv, from_gib(11.12));
}

TEST(EngineBudget, TheRankWithTheLeastCounts) {
  const EngineBudget budget =
      budget_of({"(Worker_TP0) Model loading took 7.5 GiB memory and 3 seconds",
                 "(Worker_TP1) Model loading took 7.4 GiB memory and 3 seconds",
                 "(Worker_TP0) Available KV cache memory: 63.7 GiB",
                 "(Worker_TP1) Available KV cache memory: 63.9 GiB"});
  EXPECT_EQ(budget.weights, from_gib(7.5));
  EXPECT_EQ(budget.available_kv, from_gib(63.7));
}

TEST(EngineBudget, NothingIsLearntFromAFailure) {
  EXPECT_FALSE(
      budget_of({"ValueError: Free memory on device cuda:1 (60.87/79.19 GiB) on startup is "
                 "less than desired GPU memory utilization (0.95, 75.23 GiB).",
                 "", "no sizes here", std::string(100000, 'x'), "Model loading took many GiB"})
          .tells_something());
}

class LearnedFile : public testing::Test {
 protected:
  std::string path() const { return directory_.file("state/learned.json"); }

  std::string text() const {
    std::ifstream file(path());
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
  }

  void write(const std::string& all) const {
    std::filesystem::create_directories(std::filesystem::path(path()).parent_path());
    std::ofstream(path()) << all;
  }

  static EngineBudget with_cache(std::int64_t bytes) {
    EngineBudget budget;
    budget.available_kv = bytes;
    return budget;
  }

  const LearnedKey key_{"org/model", "H100", "0.33", "tp=1"};
  TemporaryDirectory directory_;
};

TEST_F(LearnedFile, KeepsWhatItWasTold) {
  EngineBudget budget = with_cache(7);
  budget.max_concurrency = 1.5;
  EXPECT_EQ(learn(path(), key_, budget), "");
  budget.weights = 3;
  EXPECT_EQ(learn(path(), {"other", "H100", "0.33", "tp=1"}, budget), "");
  const ReadLearned known = read_learned(path());
  EXPECT_EQ(known.warning, "");
  EXPECT_EQ(known.learned.find(key_)->available_kv, 7);
  EXPECT_EQ(known.learned.find(key_)->max_concurrency, 1.5);
  EXPECT_EQ(known.learned.find({"org/model", "H100", "0.32", "tp=1"}), nullptr);
}

TEST_F(LearnedFile, ANewerBudgetReplacesOnlyWhatItTells) {
  EngineBudget first = with_cache(7);
  first.weights = 3;
  learn(path(), key_, first);
  learn(path(), key_, with_cache(8));
  EXPECT_EQ(read_learned(path()).learned.entries().size(), 1u);
  EXPECT_EQ(read_learned(path()).learned.find(key_)->available_kv, 8);
  EXPECT_EQ(read_learned(path()).learned.find(key_)->weights, 3);
}

TEST_F(LearnedFile, LeavesOthersMembersAlone) {
  write(R"({"repairs":[{"flag":"--max-num-seqs 600"}]})");
  EXPECT_EQ(learn(path(), key_, with_cache(7)), "");
  EXPECT_NE(text().find(R"("repairs":[{"flag":"--max-num-seqs 600"}])"), std::string::npos);
}

TEST_F(LearnedFile, IsSetAsideWhenItCannotBeUsed) {
  for (const char* broken : {"{", "[]", R"({"memory":{}})", R"({"memory":[{"model":1}]})",
                             R"({"memory":[{"model":"","gpu":"","version":"","flags":"",
                                 "kv_tokens":"many"}]})"}) {
    write(broken);
    EXPECT_NE(read_learned(path()).warning, "") << broken;
    const std::string warning = learn(path(), key_, with_cache(7));
    EXPECT_EQ(warning, path() + " cannot be used: it is set aside as " + path() + ".broken");
    EXPECT_TRUE(std::filesystem::exists(path() + ".broken"));
    EXPECT_EQ(read_learned(path()).learned.entries().size(), 1u);
  }
}

TEST_F(LearnedFile, SaysWhichMemberIsWrong) {
  write(R"({"memory":[{"model":1}]})");
  EXPECT_EQ(read_learned(path()).warning, path() + ": memory.model must be a text");
}

TEST_F(LearnedFile, IsEmptyAtFirst) {
  EXPECT_EQ(read_learned(path()).warning, "");
  EXPECT_TRUE(read_learned(path()).learned.entries().empty());
}

TEST_F(LearnedFile, ADirectoryThatCannotBeMadeIsAWarning) {
  std::ofstream(directory_.file("state")) << "a file";
  EXPECT_NE(learn(path(), key_, with_cache(7)), "");
}

TEST_F(LearnedFile, WritersDoNotLoseEachOthersWork) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 0; i < 10; ++i) {
        const std::string model = std::to_string(writer) + "/" + std::to_string(i);
        EXPECT_EQ(learn(path(), {model, "", "", ""}, with_cache(i)), "");
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(read_learned(path()).learned.entries().size(), 40u);
}

TEST_F(LearnedFile, ForgetsTheOldestOfVeryMany) {
  Learned learned;
  for (std::size_t i = 0; i <= Learned::kMostEntries; ++i) {
    learned.merge({std::to_string(i), "", "", ""}, with_cache(1));
  }
  EXPECT_EQ(learned.entries().size(), Learned::kMostEntries);
  EXPECT_EQ(learned.find({"0", "", "", ""}), nullptr);
}

TEST(LearnedPath, LiesInTheStateDirectory) {
  setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(learned_file(), "/state/batchproxy/learned.json");
  unsetenv("XDG_STATE_HOME");
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(learned_file(), "/home/me/.local/state/batchproxy/learned.json");
}

}  // namespace
}  // namespace batchproxy
