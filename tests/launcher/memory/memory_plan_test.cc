// tests/launcher/memory/memory_plan_test.cc - the plan's sums, limits, choices and suggestions.
#include "launcher/memory/memory_plan.h"

#include <string>

#include <gtest/gtest.h>

#include "launcher/memory/suggestions.h"

namespace batchproxy {
namespace {

// Qwen1.5-7B-Chat: 32 layers of 32 KV heads of 128, which take 512 KiB a token.
ModelShape qwen_7b() {
  ModelShape shape;
  shape.family = "qwen2";
  shape.layers = 32;
  shape.caches.full = 32;
  shape.heads = 32;
  shape.attention = {.kv_heads = 32, .head_dim = 128};
  shape.vocabulary = 151936;
  shape.hidden = 4096;
  shape.intermediate = 11008;
  shape.max_positions = 32768;
  return shape;
}

// Qwen3.5-9B: every fourth layer of 32 is full attention.
ModelShape hybrid_9b() {
  ModelShape shape;
  shape.layers = 32;
  shape.caches = {.full = 8, .recurrent = 24};
  shape.heads = 16;
  shape.attention = {.kv_heads = 4, .head_dim = 256};
  shape.recurrent = RecurrentState{.inner = 4096,
                                   .groups = 16,
                                   .state_size = 128,
                                   .kernel = 4,
                                   .heads = 32,
                                   .head_dim = 128,
                                   .matrix_bytes = 4};
  shape.vocabulary = 248320;
  shape.max_positions = 262144;
  return shape;
}

PlanInput with_cache(const ModelShape& shape, double gib) {
  PlanInput input;
  input.shape = shape;
  input.flags.kv_cache_memory = from_gib(gib);
  return input;
}

MemoryPlan planned(const PlanInput& input) {
  const auto plan = plan_memory(input);
  if (!plan) ADD_FAILURE() << plan.error().reason;
  return plan ? *plan : MemoryPlan();
}

PlanInput on_24_gib() {
  PlanInput input;
  input.shape = qwen_7b();
  input.weights_per_gpu = from_gib(14.39);
  input.gpu.total = from_gib(23.6);
  input.gpu.free = from_gib(23.6);
  return input;
}

TEST(MemoryPlan, TheFamousError) {
  const PlanInput input = with_cache(qwen_7b(), 4.85);
  const MemoryPlan plan = planned(input);
  EXPECT_EQ(plan.kv_bytes_per_token, 524288);
  EXPECT_EQ(plan.max_model_len, 32768);
  EXPECT_NEAR(to_gib(plan.needed_kv), 16.0, 0.01);
  EXPECT_EQ(plan.longest_context, 9904);
  EXPECT_FALSE(plan.fits());
  EXPECT_EQ(auto_context(input).max_model_len, 9904);
}

TEST(MemoryPlan, OneBlockIsNotForRequestsSince33) {
  EXPECT_FALSE(planned(with_cache(qwen_7b(), 16)).fits());
  EXPECT_TRUE(planned(with_cache(qwen_7b(), 16.0079)).fits());
  PlanInput older = with_cache(qwen_7b(), 16);
  older.flags.version = {0, 19};
  EXPECT_TRUE(planned(older).fits());
  older.flags.kv_cache_memory = from_gib(4.8516);
  EXPECT_EQ(planned(older).longest_context, 9936);
}

TEST(MemoryPlan, SharesAddUpToWhatIsAskedFor) {
  const MemoryPlan plan = planned(on_24_gib());
  const GpuShares& shares = plan.shares;
  EXPECT_EQ(shares.weights + shares.activation + shares.overhead() + shares.available_kv,
            shares.requested);
  EXPECT_NEAR(to_gib(shares.requested), 0.92 * 23.6, 0.001);
  EXPECT_NEAR(to_gib(shares.left), 23.6 * 0.08 - 0.51, 0.01);
}

TEST(MemoryPlan, GraphsCameOnTopBefore21) {
  PlanInput input = on_24_gib();
  input.flags.version = {0, 20};
  const GpuShares before = planned(input).shares;
  input.flags.version = {0, 21};
  const GpuShares since = planned(input).shares;
  EXPECT_EQ(before.available_kv - since.available_kv, since.graphs);
}

TEST(MemoryPlan, CpuOffloadLeavesWeightsOut) {
  PlanInput input = on_24_gib();
  input.weights_per_gpu.reset();
  input.checkpoint_bytes = from_gib(14.39);
  const std::int64_t before = planned(input).shares.available_kv;
  input.flags.cpu_offload = 4 * kGiB;
  EXPECT_EQ(planned(input).shares.available_kv, before + 4 * kGiB);
}

TEST(MemoryPlan, TensorParallelSharesOutHeadsAndAtLeastOneEach) {
  PlanInput input = with_cache(qwen_7b(), 4);
  input.shape.attention.kv_heads = 4;
  input.flags.tensor_parallel_size = 2;
  EXPECT_EQ(planned(input).kv_bytes_per_token, 32 * 2 * 2 * 128 * 2);
  input.flags.tensor_parallel_size = 8;
  EXPECT_EQ(planned(input).kv_bytes_per_token, 32 * 2 * 1 * 128 * 2);
  input.shape.attention.latent = 576;  // MLA: whole on each
  EXPECT_EQ(planned(input).kv_bytes_per_token, 32 * 576 * 2);
}

TEST(MemoryPlan, TypesOfTheKvCache) {
  const auto bytes = [](const std::string& type) {
    PlanInput input = with_cache(qwen_7b(), 4);
    input.flags.kv_cache_dtype = type;
    const auto plan = plan_memory(input);
    return plan ? plan->kv_bytes_per_token / (32 * 2 * 32) : -1;
  };
  EXPECT_EQ(bytes("auto"), 256);
  EXPECT_EQ(bytes("fp8"), 128);
  EXPECT_EQ(bytes("nvfp4"), 64 + 8);
  EXPECT_EQ(bytes("int8_per_token_head"), 128 + 4);
  EXPECT_EQ(bytes("turboquant_4"), -1);
  PlanInput input = with_cache(qwen_7b(), 4);
  input.shape.attention.latent = 576;
  input.flags.kv_cache_dtype = "fp8_ds_mla";
  EXPECT_EQ(planned(input).kv_bytes_per_token, 32 * 656);
}

TEST(MemoryPlan, WindowsTakeNoMoreThanTheirPart) {
  ModelShape gemma = qwen_7b();  // Gemma-3-12b
  gemma.layers = 48;
  gemma.caches = {.full = 8, .sliding = 40};
  gemma.attention = {.kv_heads = 8, .head_dim = 256};
  gemma.window = 1024;
  PlanInput input = with_cache(gemma, 8);
  input.flags.version = {0, 19};
  input.flags.max_num_batched_tokens = 8192;
  const MemoryPlan before = planned(input);
  EXPECT_EQ(before.layout.pool_block_bytes, 1 << 20);
  EXPECT_EQ(before.needed_kv, std::int64_t{4933} << 20);
  input.flags.version = {0, 32};
  EXPECT_EQ(planned(input).needed_kv, std::int64_t{7493} << 20);
}

TEST(MemoryPlan, ChunksTakeNoMoreThanTheirPart) {
  ModelShape scout = qwen_7b();
  scout.caches = {.full = 12, .chunked = 36};
  scout.chunk = 8192;
  PlanInput input = with_cache(scout, 8);
  input.flags.version = {0, 19};
  input.flags.max_num_batched_tokens = 8192;
  EXPECT_EQ(planned(input).layout.blocks_for(32768), 2048 + 3 * 1024);
}

TEST(MemoryPlan, AHybridsBlockGrowsUntilItHoldsAState) {
  PlanInput input = with_cache(hybrid_9b(), 6.56);
  input.flags.enable_prefix_caching = false;
  input.flags.version = {0, 18};
  input.flags.max_model_len = 4096;
  const MemoryPlan plan = planned(input);
  EXPECT_EQ(plan.layout.block_size, 528);
  EXPECT_EQ(plan.layout.pool_block_bytes, 17301504);
  EXPECT_EQ(plan.blocks, 407);
  EXPECT_EQ(plan.kv_tokens, 53328);
}

// Granite-4.0-H-Tiny, whose engine says "Setting attention block size to 400 tokens".
TEST(MemoryPlan, AMamba2StateIsInTheModelsDtype) {
  PlanInput input = with_cache(hybrid_9b(), 4);
  input.shape.layers = 40;
  input.shape.caches = {.full = 4, .recurrent = 36};
  input.shape.attention = {.kv_heads = 4, .head_dim = 128};
  input.shape.recurrent = RecurrentState{.inner = 3072,
                                         .groups = 1,
                                         .state_size = 128,
                                         .kernel = 4,
                                         .heads = 48,
                                         .head_dim = 64,
                                         .groups_are_split = false};
  EXPECT_EQ(planned(input).layout.block_size, 400);
  input.flags.tensor_parallel_size = 2;  // each GPU has the one group
  const std::int64_t state = (3072 / 2 + 2 * 128) * 3 * 2 + 24 * 64 * 128 * 2;
  const std::int64_t token = 2 * 2 * 128 * 2;
  EXPECT_EQ(planned(input).layout.block_size, (state + 16 * token - 1) / (16 * token) * 16);
}

TEST(MemoryPlan, MtpAddsALayerAndBlocks) {
  PlanInput input = with_cache(hybrid_9b(), 20);  // 27B on two H200
  input.shape.layers = 64;
  input.shape.caches = {.full = 16, .recurrent = 48};
  input.shape.recurrent->heads = 48;
  input.shape.recurrent->inner = 48 * 128;
  input.shape.heads = 24;
  input.flags.tensor_parallel_size = 2;
  input.flags.mtp_tokens = 2;
  const MemoryPlan plan = planned(input);
  EXPECT_EQ(plan.layout.block_size, 800);
  EXPECT_EQ(plan.layout.groups, (CacheLayers{.full = 1, .recurrent = 3}));
  EXPECT_EQ(plan.layout.pool_block_bytes, 800 * 2048 * 17);
  EXPECT_EQ(plan.layout.states, 4);
}

TEST(MemoryPlan, AHybridHasNoMoreSequencesThanBlocks) {
  PlanInput input = with_cache(hybrid_9b(), 2);
  input.flags.max_model_len = 4096;
  const MemoryPlan plan = planned(input);
  EXPECT_TRUE(plan.fits());
  EXPECT_TRUE(plan.limits_sequences);
  EXPECT_EQ(plan.sizes.max_num_seqs, 123);
  input.flags.max_num_seqs = 256;  // the user's word is not changed
  EXPECT_EQ(planned(input).problems.front(),
            "--max-num-seqs 256 is more than the 123 blocks for the recurrent layers' states");
  EXPECT_EQ(suggest(input, 1).front().flag, "--max-num-seqs 123");
}

TEST(MemoryPlan, PipelineStagesTakeTheirLayers) {
  PlanInput input = with_cache(qwen_7b(), 4);
  input.flags.pipeline_parallel_size = 2;
  EXPECT_EQ(planned(input).kv_bytes_per_token, 524288 / 2);
  input.shape = hybrid_9b();
  EXPECT_FALSE(plan_memory(input));
}

TEST(MemoryPlan, TheTokensThatArePrintedDependOnTheContext) {
  PlanInput input = with_cache(hybrid_9b(), 6.56);
  input.flags.max_model_len = 4096;
  const MemoryPlan plan = planned(input);
  EXPECT_EQ(plan.kv_tokens, 53328);
  EXPECT_EQ(plan.printed_tokens, static_cast<std::int64_t>(406.0 / 14 * 4096));
}

TEST(MemoryPlan, AllowedTensorParallelSizes) {
  EXPECT_EQ(allowed_tensor_parallel(qwen_7b(), 16), (std::vector<std::int64_t>{1, 2, 4, 8, 16}));
  ModelShape qwen = qwen_7b();  // Qwen2.5-7B: 28 heads
  qwen.heads = 28;
  qwen.attention.kv_heads = 4;
  qwen.intermediate = 18944;
  qwen.vocabulary = 152064;
  EXPECT_EQ(allowed_tensor_parallel(qwen, 8), (std::vector<std::int64_t>{1, 2, 4}));
  PlanInput input = with_cache(qwen, 4);
  input.flags.tensor_parallel_size = 8;
  EXPECT_EQ(planned(input).problems.front(),
            "--tensor-parallel-size 8 does not divide the model (28 heads, 4 KV heads, vocabulary "
            "152064): 1, 2, 4 would");
}

TEST(MemoryPlan, TellsWhatDoesNotFit) {
  PlanInput input = on_24_gib();
  input.gpu.free = from_gib(10);
  input.flags.max_model_len = 40000;
  const MemoryPlan plan = planned(input);
  ASSERT_EQ(plan.problems.size(), 3u);
  EXPECT_EQ(plan.problems[0],
            "--max-model-len 40000 is longer than the model's own context of 32768");
  EXPECT_EQ(
      plan.problems[1],
      "GPU 0 has 10.00 GiB free, and the engine asks for 21.71 GiB beside its CUDA context of "
      "0.51 GiB");
}

TEST(MemoryPlan, IsNoneWithoutWeightsOrCache) {
  PlanInput input = on_24_gib();
  input.weights_per_gpu.reset();
  EXPECT_TRUE(plan_memory(input).error().reason.starts_with("the weights' size is not known"));
}

TEST(AutoContext, LeavesAloneWhatFitsAndWhatIsPinned) {
  EXPECT_FALSE(auto_context(with_cache(qwen_7b(), 16.1)).max_model_len);
  PlanInput pinned = with_cache(qwen_7b(), 4.85);
  pinned.flags.max_model_len = 32768;
  EXPECT_FALSE(auto_context(pinned).max_model_len);
}

TEST(AutoContext, KeepsAMarginWhereItEstimates) {
  const PlanInput input = on_24_gib();
  const ContextChoice choice = auto_context(input);
  ASSERT_TRUE(choice.max_model_len);
  EXPECT_EQ(*choice.max_model_len, planned(input).longest_context - 1024);  // half a GiB
  EXPECT_NE(choice.sentence.find("SHORTENED from 32,768 to "), std::string::npos);
}

TEST(AutoContext, SaysThatNothingFits) {
  PlanInput input = on_24_gib();
  input.weights_per_gpu = from_gib(30);
  const ContextChoice choice = auto_context(input);
  EXPECT_FALSE(choice.max_model_len);
  EXPECT_TRUE(choice.sentence.starts_with("the model does not fit: the weights (30.00 GiB)"));
}

TEST(Learned, ReplacesWhatIsEstimated) {
  PlanInput input = on_24_gib();
  EngineBudget before;
  before.weights = from_gib(14.41);
  before.activation = from_gib(0.9);
  before.requested = from_gib(20);
  before.available_kv = from_gib(4);
  input.learned = before;
  const MemoryPlan plan = planned(input);
  EXPECT_EQ(plan.shares.activation, from_gib(0.9));
  // As much more as is asked for now.
  EXPECT_NEAR(to_gib(plan.shares.available_kv), 4 + 0.92 * 23.6 - 20, 0.001);
}

TEST(Suggestions, AreThoseThatFitWithTheirFigures) {
  PlanInput input = on_24_gib();
  input.flags.max_model_len = 32768;
  std::vector<std::string> flags;
  for (const Suggestion& suggestion : suggest(input, 2)) {
    EXPECT_GE(suggestion.longest_context, suggestion.max_model_len) << suggestion.flag;
    EXPECT_LE(suggestion.needed_kv, suggestion.available_kv) << suggestion.flag;
    flags.push_back(suggestion.flag.substr(0, suggestion.flag.rfind(' ')));
  }
  EXPECT_EQ(flags, (std::vector<std::string>{"--max-model-len", "--tensor-parallel-size",
                                             "--pipeline-parallel-size"}));
}

TEST(Suggestions, OfWhatCostsMoreComeLater) {
  PlanInput input = on_24_gib();
  input.flags.max_model_len = 12000;
  std::vector<std::string> flags;
  for (const Suggestion& suggestion : suggest(input, 1)) flags.push_back(suggestion.flag);
  EXPECT_EQ(flags, (std::vector<std::string>{
                       "--max-model-len 11328", "--gpu-memory-utilization 0.94",
                       "--max-num-seqs 64", "--kv-cache-dtype fp8", "--cpu-offload-gb 1",
                       "--tensor-parallel-size 2", "--pipeline-parallel-size 2"}));
}

TEST(Suggestions, LowerAUtilisationThatIsNotFree) {
  PlanInput input = with_cache(qwen_7b(), 0);
  input.flags.kv_cache_memory.reset();
  input.flags.max_model_len = 4096;
  input.weights_per_gpu = from_gib(14.39);
  input.gpu.total = from_gib(79.19);
  input.gpu.free = from_gib(60.87);
  const auto all = suggest(input, 1);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front().flag, "--gpu-memory-utilization 0.75");
}

TEST(Suggestions, ThinkOfMoreGpusThanThereAre) {
  PlanInput input = on_24_gib();
  input.flags.max_model_len = 32768;
  input.weights_per_gpu = from_gib(80);
  const auto all = suggest(input, 2);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].flag, "--tensor-parallel-size 8");
  EXPECT_EQ(all[0].cost, "8 such GPUs, 2 at hand");
  EXPECT_EQ(suggest(input, 0).at(0).cost, "8 such GPUs");
}

TEST(Suggestions, ComeWithAShorterContextWhereNoneDoesAlone) {
  PlanInput input = on_24_gib();
  input.shape.heads = 4;
  input.flags.max_model_len = 32768;
  input.weights_per_gpu = from_gib(66);
  const auto all = suggest(input, 4);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].flag,
            "--tensor-parallel-size 4 --max-model-len " + std::to_string(all[0].max_model_len));
  EXPECT_LT(all[0].max_model_len, 32768);
  EXPECT_EQ(all[0].cost, "4 GPUs, and a shorter context");
}

TEST(Suggestions, AreNoneWhereAllFits) {
  EXPECT_TRUE(suggest(with_cache(qwen_7b(), 20), 8).empty());
}

TEST(MemorySizes, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_memory_size("58.11GiB"), from_gib(58.11));
  EXPECT_EQ(parse_memory_size("24 GB"), 24'000'000'000);
  EXPECT_EQ(parse_memory_size("2G"), 2 * kGiB);
  EXPECT_EQ(parse_memory_size("2g"), 2'000'000'000);
  EXPECT_EQ(parse_memory_size("1024"), 1024);
  for (const char* text : {"", "GiB", "-1", "1.2.3GiB", "4 apples", "1e9", "99999999999T"}) {
    EXPECT_FALSE(parse_memory_size(text)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
