// tests/sim/flags_test.cc - vLLM's command line, as far as a simulation needs it.
#include "backends/sim/flags.h"

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

SimFlags parse(const std::vector<std::string>& arguments) {
  return parse_sim_flags(arguments);
}

TEST(SimFlags, TheModelIsServedUnderItsOwnName) {
  const SimFlags flags = parse({"org/model"});
  EXPECT_EQ(flags.model, "org/model");
  EXPECT_EQ(flags.served_names, std::vector<std::string>{"org/model"});
}

TEST(SimFlags, DashesUnderscoresAndEqualsSignsAreAllTheSame) {
  for (const std::vector<std::string>& form :
       {std::vector<std::string>{"m", "--tensor-parallel-size", "4"},
        {"m", "--tensor_parallel_size", "4"},
        {"m", "--tensor_parallel_size=4"},
        {"m", "-tp", "4"}}) {
    EXPECT_EQ(parse(form).tensor_parallel_size, 4);
  }
}

TEST(SimFlags, ReadsSeveralServedNames) {
  const SimFlags flags = parse({"m", "--served-model-name", "a", "b", "--port", "9"});
  EXPECT_EQ(flags.served_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(flags.port, 9);
}

TEST(SimFlags, ReadsHumanIntegers) {
  EXPECT_EQ(parse({"m", "--max-model-len", "8k"}).max_model_len, 8000);
  EXPECT_EQ(parse({"m", "--max-model-len", "8K"}).max_model_len, 8192);
  EXPECT_EQ(parse({"m", "--max-model-len", "-1"}).max_model_len, std::nullopt);
  EXPECT_EQ(parse({"m", "--max-model-len", "auto"}).max_model_len, std::nullopt);
}

TEST(SimFlags, ListsWhatItIgnoresWithItsValues) {
  const SimFlags flags =
      parse({"m", "--dtype", "auto", "--trust-remote-code", "--port", "1", "--seed=4"});
  EXPECT_EQ(flags.ignored,
            (std::vector<std::string>{"--dtype", "auto", "--trust-remote-code", "--seed=4"}));
  EXPECT_EQ(flags.port, 1);
}

TEST(SimFlags, PrefixCachingIsOnUntilSwitchedOff) {
  EXPECT_TRUE(parse({"m"}).prefix_caching);
  EXPECT_FALSE(parse({"m", "--no-enable-prefix-caching"}).prefix_caching);
}

TEST(SimFlags, ReadsTheSimulationsOwnFlags) {
  const SimFlags flags =
      parse({"m", "--sim-hardware", "h100", "--sim-time-scale", "0.01", "--sim-answer", "sha256",
             "--sim-call-cost", "0.004", "--sim-crash-after", "3", "--sim-die-after", "4",
             "--sim-without-token-ids"});
  EXPECT_EQ(flags.gpu, Gpu::kH100);
  EXPECT_DOUBLE_EQ(flags.time_scale, 0.01);
  EXPECT_EQ(flags.answer_mode, AnswerMode::kSha256);
  EXPECT_DOUBLE_EQ(flags.costs.per_call, 0.004);
  EXPECT_EQ(flags.crash_after, 3u);
  EXPECT_EQ(flags.die_after, 4u);
  EXPECT_FALSE(flags.token_ids);
  EXPECT_TRUE(parse({"m"}).token_ids);
}

TEST(SimFlags, WrongUseIsAnErrorThatNamesTheFlag) {
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"m", "--port", "70000"},
                                                {"m", "--port"},
                                                {"m", "--max-num-seqs", "x"},
                                                {"m", "--sim-time-scale", "0"},
                                                {"m", "--sim-hardware", "v100"},
                                                {"m", "second"}}) {
    EXPECT_THROW(parse(wrong), UsageError);
  }
  try {
    parse({"m", "--max_num_seqs", "0"});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("--max_num_seqs"), std::string::npos);
  }
}

TEST(SimFlags, UsageListsEveryFlagOfOurs) {
  const std::string usage = sim_usage();
  for (const char* flag : {"--sim-hardware", "--sim-time-scale", "--sim-hang-after", "--port"}) {
    EXPECT_NE(usage.find(flag), std::string::npos) << flag;
  }
}

}  // namespace
}  // namespace batchproxy::sim
