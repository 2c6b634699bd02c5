// tests/launcher/repair/remember_test.cc - repairs that outlive the process, and what a file cannot
// make us do.
#include "launcher/repair/remember.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

const RepairKey kKey{"org/m", "H100 x2", "0.33.0"};

RememberedRepair shorter(const std::string& context) {
  return {Cause::kKvTooSmall,
          RepairKind::kContext,
          {{false, "--max-model-len", "32768", context}},
          "max_model_len 32768 -> " + context};
}

RememberedRepair without_sampler() {
  return {Cause::kNoNvcc,
          RepairKind::kSampler,
          {{true, "VLLM_USE_FLASHINFER_SAMPLER", {}, "0"}},
          "no sampler"};
}

TEST(RepairMemory, ReadsWhatItHasWritten) {
  RepairMemory memory;
  memory.remember(kKey, shorter("9920"));
  memory.remember(kKey, without_sampler());
  memory.remember({"other", "T4", "0.19"}, shorter("4096"));
  EXPECT_EQ(RepairMemory::parse(memory.to_json()), memory);
  EXPECT_EQ(RepairMemory::parse(""), RepairMemory());
  EXPECT_EQ(memory.repairs_for(kKey),
            (std::vector<RememberedRepair>{shorter("9920"), without_sampler()}));
}

TEST(RepairMemory, KnowsNothingOfAnotherModelGpuOrVersion) {
  RepairMemory memory;
  memory.remember(kKey, shorter("9920"));
  EXPECT_TRUE(memory.repairs_for({"org/n", "H100 x2", "0.33.0"}).empty());
  EXPECT_TRUE(memory.repairs_for({"org/m", "H100 x1", "0.33.0"}).empty());
  EXPECT_TRUE(memory.repairs_for({"org/m", "H100 x2", "0.34.0"}).empty());
  EXPECT_EQ(memory.sentences_for("org/m"),
            std::vector<std::string>{"repaired in an earlier run on H100 x2, vLLM 0.33.0: "
                                     "max_model_len 32768 -> 9920"});
  EXPECT_TRUE(memory.sentences_for("org/n").empty());
}

TEST(RepairMemory, ALaterRepairOfTheSameKindReplacesTheEarlier) {
  RepairMemory memory;
  memory.remember(kKey, shorter("9920"));
  memory.remember(kKey, shorter("9904"));
  EXPECT_EQ(memory.repairs_for(kKey), std::vector<RememberedRepair>{shorter("9904")});
}

TEST(RepairMemory, Forgets) {
  RepairMemory memory;
  memory.remember(kKey, shorter("9920"));
  EXPECT_EQ(memory.forget(kKey.model), 1U);
  EXPECT_EQ(memory, RepairMemory());
}

TEST(RepairMemory, IsBounded) {
  RepairMemory memory;
  for (int i = 0; i < 400; ++i) memory.remember({std::to_string(i), "", ""}, shorter("4096"));
  EXPECT_TRUE(memory.repairs_for({"0", "", ""}).empty());
  EXPECT_FALSE(memory.repairs_for({"399", "", ""}).empty());
}

std::string file_that_sets(const std::string& name, const std::string& after) {
  return R"({"repairs":[{"model":"org/m","gpu":"H100 x2","version":"0.33.0","made":[)"
         R"({"cause":"kv_none","kind":"argument","sentence":"","changes":[{"name":")" +
         name + R"(","after":")" + after + R"("}]}]}]})";
}

TEST(RepairMemory, AFileCannotChangeWhatARepairNeverWould) {
  const auto is_taken = [](const std::string& name, const std::string& after) {
    return !RepairMemory::parse(file_that_sets(name, after)).value().repairs_for(kKey).empty();
  };
  EXPECT_TRUE(is_taken("--max-model-len", "4096"));
  EXPECT_TRUE(is_taken("--dtype", "half"));
  EXPECT_FALSE(is_taken("--dtype", "float32"));
  EXPECT_FALSE(is_taken("--trust-remote-code", ""));
  EXPECT_FALSE(is_taken("--model", "other"));
  EXPECT_FALSE(is_taken("LD_PRELOAD", "/tmp/x.so"));
}

TEST(RepairMemory, LeavesOutWhatIsWrong) {
  for (const char* text : {R"({"repairs":[5, {}]})", R"({"repairs":[{"model":"m"}]})",
                           R"({"repairs":[{"model":"m","made":[{"cause":"boredom"}]}]})"}) {
    EXPECT_EQ(RepairMemory::parse(text), RepairMemory()) << text;
  }
}

TEST(RepairMemory, IsNoOtherFile) {
  for (const char* text : {"{", "[]", "null", "{}", R"({"repairs":5})"}) {
    EXPECT_EQ(RepairMemory::parse(text), std::nullopt) << text;
  }
}

TEST(RepairsFile, KeepsWhatIsRemembered) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("state/batchproxy/repairs.json");
  EXPECT_EQ(read_repairs(path).memory, RepairMemory()) << "there is none yet";
  EXPECT_EQ(read_repairs(path).warning, "");
  EXPECT_EQ(remember_repair(path, kKey, shorter("9920")), "");
  EXPECT_EQ(remember_repair(path, kKey, without_sampler()), "");
  EXPECT_EQ(read_repairs(path).memory.repairs_for(kKey),
            (std::vector<RememberedRepair>{shorter("9920"), without_sampler()}));
  EXPECT_EQ(forget_repairs(path, "another").count, 0U);
  const ForgottenRepairs forgotten = forget_repairs(path, kKey.model);
  EXPECT_EQ(forgotten.count, 2U);
  EXPECT_EQ(forgotten.warning, "");
  EXPECT_EQ(read_repairs(path).memory, RepairMemory());
}

TEST(RepairsFile, OfSomebodyElseIsSetAside) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("repairs.json");
  std::ofstream(path) << "not ours";
  EXPECT_NE(read_repairs(path).warning, "");
  EXPECT_NE(remember_repair(path, kKey, shorter("9920")), "");
  EXPECT_EQ(read_repairs(path).memory.repairs_for(kKey).size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(path + ".broken"));
}

TEST(RepairsFile, IsWhereStateIsKept) {
  ::setenv("XDG_STATE_HOME", "/var/state", 1);
  EXPECT_EQ(repairs_file(), "/var/state/batchproxy/repairs.json");
  ::unsetenv("XDG_STATE_HOME");
}

}  // namespace
}  // namespace batchproxy
