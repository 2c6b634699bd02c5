// tests/launcher/memory/engine_flags_test.cc - vllm_args as the plan reads them.
#include "launcher/memory/engine_flags.h"

#include <string>

#include <gtest/gtest.h>

#include "launcher/memory/model/memory_size.h"

namespace batchproxy {
namespace {

EngineFlags flags_of(const Arguments& arguments) {
  const auto flags = engine_flags(arguments);
  if (!flags) ADD_FAILURE() << flags.error().reason;
  return flags ? *flags : EngineFlags();
}

std::string reason_for(const Arguments& arguments) {
  const auto flags = engine_flags(arguments);
  return flags ? "(read)" : flags.error().reason;
}

TEST(EngineFlags, AreReadHoweverTheyAreSpelt) {
  const EngineFlags flags = flags_of({{"tensor-parallel-size", "2"},
                                      {"pipeline_parallel_size", "2"},
                                      {"data_parallel_size", "2"},
                                      {"max_model_len", "32k"},
                                      {"device_memory_utilization", "0.5"},
                                      {"kv_cache_memory_bytes", "4.85GiB"},
                                      {"cpu_offload_gb", "2"},
                                      {"enforce_eager", true},
                                      {"enable_prefix_caching", false}});
  EXPECT_EQ(flags.gpus(), 8);
  EXPECT_EQ(flags.max_model_len, 32000);
  EXPECT_EQ(flags.gpu_memory_utilization, 0.5);
  EXPECT_EQ(flags.kv_cache_memory, from_gib(4.85));
  EXPECT_EQ(flags.cpu_offload, 2 * kGiB);
  EXPECT_TRUE(flags.enforce_eager);
  EXPECT_EQ(flags.enable_prefix_caching, false);
}

TEST(EngineFlags, WhatIsLeftToTheEngineIsNotPinned) {
  EXPECT_FALSE(flags_of({{"max_model_len", "auto"}}).max_model_len);
  EXPECT_FALSE(flags_of({{"max_model_len", "-1"}}).max_model_len);
  EXPECT_FALSE(flags_of({{"max_model_len", {}}}).max_model_len);
}

TEST(EngineFlags, OfDraftsOnlyMtpHasAFormula) {
  const auto draft = [](const char* text) {
    return Arguments{{"speculative_config", JsonText{text}}};
  };
  EXPECT_EQ(flags_of(draft(R"({"method":"mtp","num_speculative_tokens":2})")).mtp_tokens, 2);
  EXPECT_EQ(flags_of(draft(R"({"method":"ngram","num_speculative_tokens":5})")).mtp_tokens, 0);
  EXPECT_EQ(reason_for(draft(R"({"model":"org/draft"})")),
            "speculative_config: the memory of a draft model of its own is not planned");
  EXPECT_TRUE(reason_for(draft("{")).starts_with("speculative_config: not valid JSON"));
}

TEST(EngineFlags, ThatCannotBeUsedAreNamed) {
  EXPECT_EQ(reason_for({{"max_num_seqs", "many"}}),
            "max_num_seqs: must be a whole number from 1 to 1048576");
  EXPECT_EQ(reason_for({{"gpu_memory_utilization", "95"}}),
            "gpu_memory_utilization: must be a number from 0 to 1");
  EXPECT_EQ(reason_for({{"kv_cache_memory_bytes", "lots"}}),
            "kv_cache_memory_bytes: must be a number of bytes, such as 58.11GiB");
  EXPECT_EQ(reason_for({{"decode_context_parallel_size", "2"}}),
            "decode_context_parallel_size: there is no formula for a context that is shared out "
            "over GPUs");
}

}  // namespace
}  // namespace batchproxy
