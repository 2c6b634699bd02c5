// tests/launcher/memory/safetensors_test.cc - headers as written, and as damaged.
#include "launcher/memory/model/safetensors.h"

#include <string>

#include <gtest/gtest.h>

#include "launcher/memory/model/weights.h"

namespace batchproxy {
namespace {

std::string reason(const std::string& header) {
  const auto file = read_header("a.safetensors", header);
  return file ? "(read)" : file.error().reason;
}

TEST(SafetensorsHeader, TellsEachTensor) {
  const auto file = read_header("a.safetensors", R"({"__metadata__":{"format":"pt"},
      "lm_head.weight":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]},
      "scale":{"dtype":"F32","shape":[],"data_offsets":[64,68]},
      "packed":{"dtype":"F4","shape":[3],"data_offsets":[68,70]}})");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->data_bytes, 70);
  EXPECT_EQ(file->tensors[0], (Tensor{"lm_head.weight", "BF16", 32, 64}));
  EXPECT_EQ(file->tensors[1], (Tensor{"scale", "F32", 1, 4}));
}

TEST(SafetensorsHeader, RefusesWhatDoesNotAddUp) {
  const std::string damaged = "a.safetensors: damaged safetensors header: ";
  EXPECT_TRUE(reason("{").starts_with(damaged));
  EXPECT_EQ(reason(R"({"x":{"dtype":"BF16","shape":[1]}})"),
            damaged + "'x' has no dtype, shape or data_offsets");
  EXPECT_EQ(reason(R"({"x":{"dtype":"BF16","shape":[-1],"data_offsets":[0,2]}})"),
            damaged + "'x' has an impossible shape or data_offsets");
  EXPECT_EQ(reason(R"({"x":{"dtype":"BF16","shape":[1],"data_offsets":[2,0]}})"),
            damaged + "'x' has an impossible shape or data_offsets");
  EXPECT_EQ(
      reason(R"({"x":{"dtype":"BF16","shape":[4611686018427387904,8],"data_offsets":[0,2]}})"),
      damaged + "'x' has an impossible shape or data_offsets");
  EXPECT_EQ(reason(R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,2]}})"),
            damaged + "'x' of 2 elements of BF16 takes 2 bytes");
}

TEST(SafetensorsHeader, ItsLengthIsBounded) {
  using namespace std::string_literals;
  const auto reason_for = [](const std::string& first, std::int64_t size) {
    const auto length = header_length("a.safetensors", first, size);
    return length ? std::to_string(*length) : length.error().reason;
  };
  EXPECT_EQ(reason_for("\x10\0\0\0\0\0\0\0"s, 1000), "16");
  EXPECT_EQ(reason_for("abc", 3), "a.safetensors: only 3 bytes, so it is no safetensors file");
  EXPECT_EQ(reason_for("\x10\0\0\0\0\0\0\0"s, 20),
            "a.safetensors: truncated: the header has 16 bytes, the whole file 20");
  EXPECT_EQ(reason_for(std::string(8, '\xff'), 1000),
            "a.safetensors: damaged safetensors header: its length is given as "
            "18446744073709551615 bytes");
}

TEST(ShardIndex, NamesEachFileOnce) {
  const auto index = read_shard_index("i.json", R"({"metadata":{"total_size":1.5e10},
      "weight_map":{"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"}})");
  ASSERT_TRUE(index);
  EXPECT_EQ(index->shards, (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  EXPECT_EQ(index->total_bytes, 15'000'000'000);
  EXPECT_EQ(read_shard_index("i.json", "{}").error().reason, "i.json: weight_map is missing");
  EXPECT_EQ(read_shard_index("i.json", R"({"weight_map":{"a":"../x"}})").error().reason,
            "i.json: weight_map.a must name a file beside it");
}

ModelShape two_layers() {
  ModelShape shape;
  shape.layers = 2;
  return shape;
}

Tensor bf16(const std::string& name, std::int64_t elements) {
  return {name, "BF16", elements, 2 * elements};
}

TEST(Weights, AreSharedOutOverStagesAndGpus) {
  const std::vector<Tensor> tensors{bf16("model.embed_tokens.weight", 1000),
                                    bf16("lm_head.weight", 1000),
                                    bf16("model.layers.0.mlp.up_proj.weight", 4000)};
  const auto weights = weigh(tensors, two_layers(), {});
  ASSERT_TRUE(weights);
  EXPECT_EQ(weights->all(), 12000);
  EXPECT_EQ(weights_per_gpu(*weights, two_layers(), 2, 1, 0), 6000);
  EXPECT_EQ(weights_per_gpu(*weights, two_layers(), 1, 2, 0), 2000 + 4000);
  EXPECT_EQ(weights_per_gpu(*weights, two_layers(), 1, 2, 1), 2000 + 4000);
}

TEST(Weights, AreLoadedInTheTypeThatIsAskedFor) {
  const std::vector<Tensor> tensors{{"model.embed_tokens.weight", "F32", 100, 400},
                                    {"model.layers.0.w", "F32", 1000, 4000}};
  EXPECT_EQ(weigh(tensors, two_layers(), {})->all(), 2200);
  EXPECT_EQ(weigh(tensors, two_layers(), {.dtype_bytes = 4})->all(), 4400);
  EXPECT_EQ(weigh(tensors, two_layers(), {.quantization = "fp8"})->all(), 200 + 1000);
  EXPECT_EQ(weigh(tensors, two_layers(), {.quantization = "odd"}).error().reason,
            "it is not known here what --quantization odd makes of these weights");
}

TEST(Weights, OfAQuantisedCheckpointAreAsTheyLie) {
  ModelShape shape = two_layers();
  shape.quantization = "awq";
  EXPECT_EQ(weigh({{"w", "I32", 100, 400}, {"s", "F32", 10, 40}}, shape, {})->all(), 440);
}

TEST(Weights, CountATiedHeadAndADraftOnlyWhereTheyAreLoaded) {
  ModelShape shape = two_layers();
  shape.ties_embeddings = true;
  shape.draft_layers = 1;
  const std::vector<Tensor> tensors{bf16("model.embed_tokens.weight", 100),
                                    bf16("lm_head.weight", 100),
                                    bf16("model.layers.2.eh_proj.weight", 50)};
  EXPECT_EQ(weigh(tensors, shape, {})->all(), 200);
  EXPECT_EQ(weigh(tensors, shape, {.with_draft = true})->all(), 300);
}

TEST(Weights, ListTheLargeOnesAndWhereTheyGo) {
  const auto weights = weigh({bf16("model.layers.0.w", 300'000'000),
                              bf16("lm_head.weight", 400'000'000), bf16("small", 1000)},
                             two_layers(), {});
  ASSERT_EQ(weights->large.size(), 2u);
  EXPECT_EQ(weights->large[0].name, "lm_head.weight");
  EXPECT_EQ(weights->large[0].place,
            "shared out by vocabulary over a stage's GPUs; last pipeline stage");
}

TEST(StageLayers, WhatIsOverGoesBeforeTheLast) {
  EXPECT_EQ(stage_layers(32, 4), (std::vector<std::int64_t>{8, 8, 8, 8}));
  EXPECT_EQ(stage_layers(34, 4), (std::vector<std::int64_t>{8, 9, 9, 8}));
}

}  // namespace
}  // namespace batchproxy
