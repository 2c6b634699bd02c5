// tests/launcher/memory/model_shape_test.cc - what is read from config.json, and what is refused.
#include "launcher/memory/model/model_shape.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "launcher/memory/memory_plan.h"

namespace batchproxy {
namespace {

ModelShape shape_of(const std::string& config, const std::string& quantization = "") {
  const auto shape =
      read_model_shape({"config.json", config}, {"hf_quant_config.json", quantization});
  if (!shape) ADD_FAILURE() << shape.error().reason;
  return shape ? *shape : ModelShape();
}

std::string reason_for(const std::string& config) {
  const auto shape = read_model_shape({"config.json", config});
  return shape ? "(planned)" : shape.error().reason;
}

const std::string kLlama = R"({"architectures":["LlamaForCausalLM"],"model_type":"llama",
  "hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,"num_attention_heads":32,
  "num_key_value_heads":8,"vocab_size":128256,"max_position_embeddings":131072,
  "rope_scaling":{"rope_type":"llama3","factor":8.0},"torch_dtype":"bfloat16"})";

const std::string kNemotron = R"({"model_type":"nemotron_h","num_hidden_layers":8,
  "hybrid_override_pattern":"M-M*M-ME","num_attention_heads":32,"num_key_value_heads":8,
  "head_dim":128,"vocab_size":131072,"max_position_embeddings":262144,"mamba_num_heads":128,
  "mamba_head_dim":64,"n_groups":8,"ssm_state_size":128,"conv_kernel":4,
  "mamba_ssm_cache_dtype":"float32"})";

// `config` with members of another object put over its own.
std::string with(std::string config, const std::string& members) {
  config.insert(config.rfind('}'), "," + members);
  return config;
}

TEST(ModelShape, GroupedQueries) {
  const ModelShape shape = shape_of(kLlama);
  EXPECT_EQ(shape.family, "llama");
  EXPECT_EQ(shape.caches, (CacheLayers{.full = 32}));
  EXPECT_EQ(shape.attention, (AttentionCache{.kv_heads = 8, .head_dim = 128}));
  EXPECT_EQ(shape.vocabulary, 128256);
  EXPECT_EQ(shape.max_positions, 131072);  // llama3 counts its factor already
}

TEST(ModelShape, EveryHeadOrOneOfThem) {
  EXPECT_EQ(shape_of(R"({"model_type":"llama","hidden_size":4096,"num_hidden_layers":32,
                       "num_attention_heads":32,"vocab_size":32000})")
                .attention.kv_heads,
            32);
  EXPECT_EQ(shape_of(R"({"model_type":"gpt_bigcode","n_embd":6144,"n_layer":40,"n_head":48,
                       "multi_query":true,"vocab_size":49152})")
                .attention,
            (AttentionCache{.kv_heads = 1, .head_dim = 128}));
}

TEST(ModelShape, TheArchitectureStandsInForAFamilyThatIsNotTold) {
  EXPECT_EQ(shape_of(R"({"architectures":["Qwen3MoeForCausalLM"],"head_dim":128,"vocab_size":1,
                       "num_hidden_layers":2,"num_attention_heads":4,"num_experts":128})")
                .family,
            "qwen3_moe");
}

TEST(ModelShape, SlidingWindows) {
  const std::string sizes = R"("num_attention_heads":8,"num_key_value_heads":4,"head_dim":256,
                               "vocab_size":256000,"sliding_window":4096)";
  EXPECT_EQ(shape_of(R"({"model_type":"gemma2","num_hidden_layers":26,)" + sizes + "}").caches,
            (CacheLayers{.full = 13, .sliding = 13}));
  EXPECT_EQ(shape_of(R"({"model_type":"gemma3_text","num_hidden_layers":62,)" + sizes + "}").caches,
            (CacheLayers{.full = 10, .sliding = 52}));
  EXPECT_EQ(shape_of(R"({"model_type":"mistral","num_hidden_layers":32,)" + sizes + "}").caches,
            (CacheLayers{.sliding = 32}));
  EXPECT_EQ(shape_of(R"({"model_type":"qwen2","num_hidden_layers":28,)" + sizes + "}").caches,
            (CacheLayers{.full = 28}));
  EXPECT_EQ(shape_of(R"({"model_type":"gpt_oss","num_hidden_layers":2,"layer_types":
                       ["sliding_attention","full_attention"],)" +
                     sizes + "}")
                .caches,
            (CacheLayers{.full = 1, .sliding = 1}));
}

TEST(ModelShape, Chunks) {
  const ModelShape shape = shape_of(
      R"({"model_type":"llama4","text_config":{"model_type":"llama4_text","num_hidden_layers":48,
      "num_attention_heads":40,"num_key_value_heads":8,"head_dim":128,"vocab_size":202048,
      "attention_chunk_size":8192},"vision_config":{}})");
  EXPECT_EQ(shape.caches, (CacheLayers{.full = 12, .chunked = 36}));
  EXPECT_EQ(shape.chunk, 8192);
  EXPECT_TRUE(shape.is_multimodal);
}

TEST(ModelShape, DefaultsOfAFamilyThatLeavesKeysOut) {
  const ModelShape shape = shape_of(
      R"({"model_type":"gemma3","text_config":{"model_type":"gemma3_text","hidden_size":2560,
      "num_hidden_layers":34,"sliding_window":1024,"rope_scaling":{"rope_type":"linear",
      "factor":8.0}},"vision_config":{}})");
  EXPECT_EQ(shape.attention, (AttentionCache{.kv_heads = 4, .head_dim = 256}));
  EXPECT_EQ(shape.vocabulary, 262208);
  EXPECT_EQ(shape.max_positions, 131072);
}

TEST(ModelShape, OneLatentVector) {
  const ModelShape shape = shape_of(
      R"({"model_type":"deepseek_v2","num_hidden_layers":27,"num_attention_heads":16,
      "hidden_size":2048,"kv_lora_rank":512,"qk_rope_head_dim":64,"vocab_size":102400,
      "max_position_embeddings":163840,"n_routed_experts":64})");
  EXPECT_TRUE(shape.attention.is_mla());
  EXPECT_EQ(shape.attention.latent, 576);
  EXPECT_TRUE(shape.is_moe);
}

TEST(ModelShape, GatedDeltaNets) {
  const std::string sizes = R"("num_attention_heads":16,"num_key_value_heads":4,"head_dim":256,
      "vocab_size":248320,"linear_num_key_heads":16,"linear_num_value_heads":32,
      "linear_key_head_dim":128,"linear_value_head_dim":128,"linear_conv_kernel_dim":4)";
  const ModelShape shape = shape_of(
      R"({"model_type":"qwen3_5","text_config":{"model_type":"qwen3_5_text",
      "num_hidden_layers":32,"full_attention_interval":4,"mtp_num_hidden_layers":1,)" +
      sizes + "}}");
  EXPECT_EQ(shape.caches, (CacheLayers{.full = 8, .recurrent = 24}));
  EXPECT_EQ(shape.recurrent->matrix_bytes, 4);
  EXPECT_EQ(shape.draft_layers, 1);
  EXPECT_EQ(shape_of(R"({"model_type":"qwen3_next","num_hidden_layers":48,)" + sizes + "}")
                .recurrent->matrix_bytes,
            0);  // as the model's own
}

TEST(ModelShape, Mamba2Hybrids) {
  const ModelShape shape = shape_of(kNemotron);
  EXPECT_EQ(shape.caches, (CacheLayers{.full = 1, .recurrent = 4}));
  EXPECT_EQ(shape.recurrent->inner, 8192);
}

TEST(ModelShape, LayersThatReadOthersCachesHaveNone) {
  EXPECT_EQ(shape_of(R"({"model_type":"gemma3n","text_config":{"model_type":"gemma3n_text",
      "num_hidden_layers":4,"num_kv_shared_layers":2,"num_attention_heads":8,"head_dim":256,
      "num_key_value_heads":2,"vocab_size":262400,"sliding_window":512,"layer_types":
      ["sliding_attention","full_attention","sliding_attention","full_attention"]}})")
                .caches,
            (CacheLayers{.full = 1, .sliding = 1}));
}

TEST(ModelShape, Quantisation) {
  EXPECT_EQ(shape_of(kLlama).quantization, "");
  EXPECT_EQ(shape_of(with(kLlama, R"("quantization_config":{"quant_method":"awq"})")).quantization,
            "awq");
  const auto fp8_kv = R"("quantization_config":{"quant_method":"compressed-tensors",
                         "kv_cache_scheme":{"num_bits":8,"type":"float"}})";
  EXPECT_TRUE(shape_of(with(kLlama, fp8_kv)).has_fp8_kv_scales);
  const ModelShape modelopt =
      shape_of(kLlama, R"({"quantization":{"quant_algo":"NVFP4","kv_cache_quant_algo":"FP8"}})");
  EXPECT_EQ(modelopt.quantization, "NVFP4");
  EXPECT_TRUE(modelopt.has_fp8_kv_scales);
}

TEST(ModelShape, PositionsAreStretched) {
  const std::string qwen = R"({"model_type":"qwen3","num_hidden_layers":36,"head_dim":128,
      "num_attention_heads":32,"num_key_value_heads":8,"vocab_size":151936,
      "max_position_embeddings":40960})";
  EXPECT_EQ(shape_of(qwen).max_positions, 40960);
  EXPECT_EQ(shape_of(with(qwen, R"("rope_scaling":{"rope_type":"yarn","factor":4.0,
                                   "original_max_position_embeddings":32768})"))
                .max_positions,
            131072);
}

TEST(ModelShape, NumbersThatOnlyPythonWritesAreRead) {
  const auto limit = R"("time_step_limit":[0.0,Infinity],"a":[-Infinity,NaN,"NaN \\\" Infinity"])";
  EXPECT_EQ(shape_of(with(kNemotron, limit)).caches, (CacheLayers{.full = 1, .recurrent = 4}));
}

// Whatever a file holds, there is an answer: a shape that can be planned with, or a sentence.
TEST(ModelShape, NoByteOfTheFileIsTrusted) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string text = round % 2 == 0 ? kLlama : kNemotron;
    for (int change = 0; change < 1 + round % 4; ++change) {
      text[random() % text.size()] = "0123456789{}[],:\"-nte. "[random() % 23];
    }
    const auto shape = read_model_shape({"config.json", text});
    if (!shape) {
      EXPECT_TRUE(shape.error().reason.starts_with("config.json: ")) << shape.error().reason;
      continue;
    }
    PlanInput input;
    input.shape = *shape;
    input.flags.kv_cache_memory = kGiB;
    input.flags.tensor_parallel_size = 1 << round % 4;
    (void)plan_memory(input);
  }
}

TEST(ModelShape, SaysWhyThereIsNoPlan) {
  EXPECT_EQ(reason_for("{"), "config.json: not valid JSON: " + reason_for("{").substr(29));
  EXPECT_EQ(reason_for("[]"), "config.json: must hold a JSON object");
  EXPECT_EQ(reason_for("{}"), "config.json: model_type is missing, so the family is not known");
  EXPECT_EQ(reason_for(R"({"model_type":"new_thing"})"),
            "config.json: there is no formula for model_type 'new_thing'");
  EXPECT_EQ(reason_for(R"({"model_type":"deepseek_v4"})"),
            "config.json: there is no formula for model_type 'deepseek_v4': its sparse attention "
            "keeps caches of a form of its own");
  EXPECT_EQ(reason_for(R"({"model_type":"llama","num_attention_heads":1,"head_dim":1,
                          "vocab_size":1})"),
            "config.json: num_hidden_layers is missing");
  EXPECT_EQ(reason_for(with(kLlama, R"("text_config":{"num_hidden_layers":"many"})")),
            "config.json: text_config.num_hidden_layers must be a whole number from 0 to 4096");
  EXPECT_EQ(reason_for(R"({"model_type":"llama","num_hidden_layers":1,"num_attention_heads":1,
                          "vocab_size":1})"),
            "config.json: head_dim is missing, and so is hidden_size");
  EXPECT_EQ(reason_for(R"({"model_type":"gpt_oss","num_hidden_layers":1,"num_attention_heads":1,
                          "head_dim":1,"vocab_size":1,"layer_types":["odd_attention"]})"),
            "config.json: layer_types has 'odd_attention', which is no kind of layer known here");
}

}  // namespace
}  // namespace batchproxy
