// tests/sim/failure_test.cc - failures that a flag or a variable prevents, as with vLLM.
#include "backends/sim/failure.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy::sim {
namespace {

bool fails(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "m");
  return does_fail(parse_sim_flags(arguments));
}

TEST(Failure, HappensOnlyIfItIsAskedFor) {
  EXPECT_FALSE(fails({}));
  for (const std::string_view word : failure_words()) {
    EXPECT_TRUE(fails({"--sim-fail", std::string(word)})) << word;
  }
  EXPECT_THROW(fails({"--sim-fail", "boredom"}), UsageError);
}

TEST(Failure, IsPreventedByWhatWouldPreventItInVllm) {
  EXPECT_FALSE(fails({"--sim-fail", "oom-capture", "--gpu-memory-utilization", "0.85"}));
  EXPECT_FALSE(fails({"--sim-fail", "oom-profile", "--max-num-batched-tokens", "4096"}));
  EXPECT_FALSE(fails({"--sim-fail", "oom-load", "--tensor-parallel-size", "2"}));
  EXPECT_FALSE(fails({"--sim-fail", "mamba-blocks", "--max-num-seqs", "600"}));
  EXPECT_FALSE(fails({"--sim-fail", "free-memory", "--gpu-memory-utilization", "0.75"}));
  EXPECT_FALSE(fails({"--sim-fail", "oom-sampler", "--max-num-seqs", "512"}));
  EXPECT_FALSE(fails({"--sim-fail", "kv-none", "--gpu-memory-utilization", "0.95"}));
  ::setenv("VLLM_USE_FLASHINFER_SAMPLER", "0", 1);
  EXPECT_FALSE(fails({"--sim-fail", "no-nvcc"}));
  ::unsetenv("VLLM_USE_FLASHINFER_SAMPLER");
  ::setenv("NCCL_P2P_DISABLE", "1", 1);
  EXPECT_FALSE(fails({"--sim-fail", "nccl"}));
  ::unsetenv("NCCL_P2P_DISABLE");
}

TEST(Failure, HappensOnceIfAFileRemembersIt) {
  const std::string file = std::filesystem::temp_directory_path() /
                           ("batchproxy-failure-test-" + std::to_string(::getpid()));
  EXPECT_TRUE(fails({"--sim-fail", "port-taken", "--sim-fail-once", file}));
  EXPECT_FALSE(fails({"--sim-fail", "port-taken", "--sim-fail-once", file}));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace batchproxy::sim
