// tests/launcher/plan/argument_fit_test.cc - what an old script has, and what each vLLM is given
// for it.
#include "launcher/plan/argument_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/vllm/argument_history.h"
#include "configs/vllm/arguments.h"
#include "launcher/plan/command_line.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Version kOld{0, 8, 5};
constexpr Version kNew{0, 33, 0};

std::string words(const std::vector<std::string>& flags) {
  std::string text;
  for (const std::string& flag : flags) text += (text.empty() ? "" : " ") + flag;
  return text;
}

struct Row {
  Argument written;
  std::string for_old;  // the words, or "refused"
  std::string for_new;
};

std::string outcome(const Argument& written, const Version& version) {
  const FittedArguments fitted = fit_arguments({written}, version);
  return fitted.problems.empty() ? words(flags_for(fitted.arguments)) : "refused";
}

TEST(FitArguments, GivesEachVersionItsOwnWords) {
  const std::vector<Row> rows{
      {{"swap_space", "4"}, "--swap-space 4", ""},
      {{"task", "embed"}, "--task embed", "--runner pooling --convert embed"},
      {{"task", "score"}, "--task score", "--runner pooling --convert classify"},
      {{"task", "generate"}, "--task generate", "--runner generate"},
      {{"task", "auto"}, "--task auto", ""},
      {{"task", "paint"}, "--task paint", "refused"},
      {{"runner", "pooling"}, "--task embed", "--runner pooling"},
      {{"rope_scaling", JsonText{"{}"}}, "--rope-scaling {}", "refused"},
      {{"rope_theta", "10000"}, "--rope-theta 10000", "refused"},
      {{"calculate_kv_scales", true}, "--calculate-kv-scales", ""},
      {{"guided_decoding_backend", "xgrammar"},
       "--guided-decoding-backend xgrammar",
       "--structured-outputs-config.backend xgrammar"},
      {{"structured_outputs_config.backend", "xgrammar"},
       "--guided-decoding-backend xgrammar",
       "--structured-outputs-config.backend xgrammar"},
      {{"num_scheduler_steps", "8"}, "--num-scheduler-steps 8", ""},
      {{"cuda_graph_sizes", std::vector<std::string>{"1", "2"}},
       "--cuda-graph-sizes 1 2",
       "--cudagraph-capture-sizes 1 2"},
      {{"max_seq_len_to_capture", "8192"}, "--max-seq-len-to-capture 8192", ""},
      {{"lora_extra_vocab_size", "256"}, "--lora-extra-vocab-size 256", ""},
      {{"max_num_partial_prefills", "2"}, "--max-num-partial-prefills 2", ""},
      {{"preemption_mode", "swap"}, "--preemption-mode swap", ""},
      {{"enable_reasoning", true}, "--enable-reasoning", ""},
      {{"disable_log_requests", true}, "--disable-log-requests", ""},
      {{"use_v2_block_manager", true}, "", ""},
      {{"speculative_model", "m"}, "--speculative-model m", "refused"},
      {{"kv_cache_memory_bytes", "8G"}, "refused", "--kv-cache-memory-bytes 8G"},
      {{"max_num_queued_reqs", "4"}, "", "--max-num-queued-reqs 4"},
      {{"shutdown_timeout", "30"}, "", "--shutdown-timeout 30"},
      {{"max_model_len", "auto"}, "refused", "--max-model-len auto"},
      {{"max_model_len", "4096"}, "--max-model-len 4096", "--max-model-len 4096"},
      {{"max-num-seqs", "128"}, "--max-num-seqs 128", "--max-num-seqs 128"},
      {{"something_of_next_year", "1"}, "--something-of-next-year 1", "--something-of-next-year 1"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(outcome(row.written, kOld), row.for_old) << row.written.name;
    EXPECT_EQ(outcome(row.written, kNew), row.for_new) << row.written.name;
  }
}

TEST(FitArguments, SaysWhatItDid) {
  EXPECT_THAT(fit_arguments({{"swap_space", "4"}, {"task", "embed"}}, kNew).remarks,
              ElementsAre("vllm_args.swap_space: vLLM 0.33.0 no longer has it; left out",
                          "vllm_args.task: vLLM 0.33.0 no longer has it; given as runner",
                          "vllm_args.task: vLLM 0.33.0 no longer has it; given as convert"));
  EXPECT_THAT(fit_arguments({{"rope_theta", "1"}}, kNew).problems,
              ElementsAre("vllm_args.rope_theta: vLLM 0.33.0 no longer has it: write hf_overrides: "
                          "{rope_parameters: {rope_theta: ...}}"));
  EXPECT_THAT(fit_arguments({{"kv_cache_memory_bytes", "8G"}}, kOld).problems,
              ElementsAre("vllm_args.kv_cache_memory_bytes: vLLM 0.8.5 does not have it yet: write "
                          "gpu_memory_utilization"));
}

TEST(FitArguments, LetsTheNewWordWinWhereBothAreWritten) {
  const FittedArguments fitted = fit_arguments({{"task", "embed"}, {"runner", "generate"}}, kNew);
  EXPECT_EQ(words(flags_for(fitted.arguments)), "--runner generate");
}

TEST(FitArguments, DoesNotMindWhatSaysNothing) {
  EXPECT_THAT(
      fit_arguments({{"enable_reasoning", false}, {"swap_space", std::monostate{}}}, kNew).remarks,
      IsEmpty());
}

TEST(ArgumentHistory, HasEachNameOnceAndAWayOutForEach) {
  for (const ArgumentHistory& row : argument_history()) {
    EXPECT_EQ(history_of(row.name, row.value), &row) << row.name;
    EXPECT_LT(row.since, row.gone) << row.name;
    EXPECT_FALSE(row.advice.empty()) << row.name;
    EXPECT_EQ(row.other.empty(), row.fate != Fate::kRenamed) << row.name;
  }
}

TEST(ParseVersion, ReadsTheNumbersThatATextBeginsWith) {
  EXPECT_EQ(parse_version("0.33.0rc1"), (Version{0, 33, 0}));
  EXPECT_EQ(parse_version("v0.8.5.post1"), (Version{0, 8, 5}));
  EXPECT_EQ(parse_version("2.9.0+cu128"), (Version{2, 9, 0}));
  EXPECT_EQ(parse_version("0.7"), (Version{0, 7, 0}));
  EXPECT_EQ(parse_version("v0.19.1rc2"), (Version{0, 19, 1}));
  EXPECT_EQ(parse_version("dev"), std::nullopt);
  EXPECT_EQ(parse_version("7"), std::nullopt);
  EXPECT_LT((Version{0, 9, 2}), (Version{0, 10, 0}));
}

}  // namespace
}  // namespace batchproxy
