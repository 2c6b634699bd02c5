// launcher/memory/model/families.cc - the table, and how each kind of family names its layers.
#include "launcher/memory/model/families.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

namespace batchproxy {
namespace {

constexpr std::int64_t kMostLayers = 4096;
constexpr std::int64_t kMostHeads = 1 << 16;
constexpr std::int64_t kMostWidth = 1 << 24;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;

// Counts the layers of `layer_types` that own a cache. Those behind `owners` read another's.
void count_layer_types(const ConfigObject& config, std::int64_t owners, ModelShape& shape) {
  shape.caches = CacheLayers();
  std::int64_t at = 0;
  for (const std::string& type : config.texts("layer_types")) {
    if (at++ >= owners) break;
    if (type == "full_attention" || type == "attention") {
      ++shape.caches.full;
    } else if (type == "sliding_attention") {
      ++shape.caches.sliding;
    } else if (type == "chunked_attention") {
      ++shape.caches.chunked;
    } else if (type == "linear_attention" || type == "mamba") {
      ++shape.caches.recurrent;
    } else {
      config.refuse("layer_types", "has '" + type + "', which is no kind of layer known here");
    }
  }
}

// Every `period`th layer is full, the others slide.
void every_nth_is_full(std::int64_t period, ModelShape& shape) {
  shape.caches = CacheLayers();
  shape.caches.full = period > 0 ? shape.layers / period : 0;
  shape.caches.sliding = shape.layers - shape.caches.full;
}

void all_full(const ConfigObject&, ModelShape& shape) {
  shape.caches.full = shape.layers;
}

// All layers full, or all in one window, unless the file lists each.
void plain(const ConfigObject& config, ModelShape& shape) {
  shape.window = config.integer({"sliding_window"}, kMostTokens).value_or(0);
  const bool slides = shape.window > 0 && config.flag("use_sliding_window").value_or(true);
  if (!config.texts("layer_types").empty()) {
    count_layer_types(config, shape.layers, shape);
  } else if (const auto period = config.integer({"sliding_window_pattern"}, kMostLayers);
             slides && period) {
    every_nth_is_full(*period, shape);
  } else if (slides) {
    shape.caches.sliding = shape.layers;
  } else {
    shape.caches.full = shape.layers;
  }
}

// Their window counts only when it is asked for, and only from a layer on.
void qwen(const ConfigObject& config, ModelShape& shape) {
  if (!config.flag("use_sliding_window").value_or(false)) return all_full(config, shape);
  plain(config, shape);
  if (!config.texts("layer_types").empty() || shape.caches.sliding == 0) return;
  const std::int64_t full =
      std::min(shape.layers, config.integer({"max_window_layers"}, kMostLayers).value_or(0));
  shape.caches.full = full;
  shape.caches.sliding = shape.layers - full;
}

void with_period(std::int64_t period, std::int64_t window, const ConfigObject& config,
                 ModelShape& shape) {
  shape.window = config.integer({"sliding_window"}, kMostTokens).value_or(window);
  if (!config.texts("layer_types").empty()) {
    count_layer_types(config, shape.layers, shape);
  } else {
    every_nth_is_full(
        config.integer({"sliding_window_pattern", "_sliding_window_pattern"}, kMostLayers)
            .value_or(period),
        shape);
  }
}

void gemma2(const ConfigObject& config, ModelShape& shape) {
  with_period(2, 4096, config, shape);
}

void gemma3(const ConfigObject& config, ModelShape& shape) {
  with_period(6, 4096, config, shape);
}

void cohere2(const ConfigObject& config, ModelShape& shape) {
  with_period(4, 4096, config, shape);
}

void gpt_oss(const ConfigObject& config, ModelShape& shape) {
  with_period(2, 128, config, shape);
}

// The last layers read the caches of earlier ones.
void gemma3n(const ConfigObject& config, ModelShape& shape) {
  shape.window = config.integer({"sliding_window"}, kMostTokens).value_or(512);
  const std::int64_t shared = config.integer({"num_kv_shared_layers"}, kMostLayers).value_or(0);
  const std::int64_t owners = shape.layers - std::min(shape.layers, shared);
  if (config.texts("layer_types").empty()) {
    shape.caches.full = owners / 5;
    shape.caches.sliding = owners - shape.caches.full;
  } else {
    count_layer_types(config, owners, shape);
  }
}

// Every fourth layer is full and without positions; the others look at their chunk.
void llama4(const ConfigObject& config, ModelShape& shape) {
  shape.chunk = config.integer({"attention_chunk_size"}, kMostTokens).value_or(0);
  if (shape.chunk == 0) return all_full(config, shape);
  const auto has_rope = config.integers("no_rope_layers", 1);  // 1: it has positions
  if (!config.texts("layer_types").empty()) {
    count_layer_types(config, shape.layers, shape);
  } else if (!has_rope.empty()) {
    shape.caches.full = std::ranges::count(has_rope, 0);
    shape.caches.chunked = shape.layers - shape.caches.full;
  } else {
    const auto period = config.integer({"no_rope_layer_interval"}, kMostLayers).value_or(4);
    shape.caches.full = period > 0 ? shape.layers / period : 0;
    shape.caches.chunked = shape.layers - shape.caches.full;
  }
}

void mla(const ConfigObject& config, ModelShape& shape) {
  shape.caches.full = shape.layers;
  if (!config.has("kv_lora_rank")) return;  // one without MLA keeps keys and values
  shape.attention.latent = config.required({"kv_lora_rank"}, kMostWidth) +
                           config.required({"qk_rope_head_dim"}, kMostWidth);
}

// Element sizes by vLLM's and PyTorch's names; 0 for a name that is not known.
std::int64_t matrix_bytes(const std::optional<std::string>& dtype) {
  if (!dtype) return 0;
  if (*dtype == "float32" || *dtype == "float") return 4;
  return *dtype == "bfloat16" || *dtype == "float16" ? 2 : 0;
}

void gated_delta_net(const ConfigObject& config, ModelShape& shape) {
  if (!config.texts("layer_types").empty()) {
    count_layer_types(config, shape.layers, shape);
  } else {
    const auto period = config.integer({"full_attention_interval"}, kMostLayers).value_or(4);
    shape.caches.full = period > 0 ? shape.layers / period : 0;
    shape.caches.recurrent = shape.layers - shape.caches.full;
  }
  RecurrentState state;
  state.groups = config.required({"linear_num_key_heads"}, kMostHeads);
  state.heads = config.required({"linear_num_value_heads"}, kMostHeads);
  state.state_size = config.required({"linear_key_head_dim"}, kMostHeads);
  state.head_dim = config.required({"linear_value_head_dim"}, kMostHeads);
  state.kernel = config.required({"linear_conv_kernel_dim"}, kMostHeads);
  state.inner = state.heads * state.head_dim;
  state.matrix_bytes = matrix_bytes(config.text({"mamba_ssm_dtype"}));
  // Qwen3-Next keeps the matrix in the model's dtype, its successors in float32.
  if (state.matrix_bytes == 0 && shape.family != "qwen3_next") state.matrix_bytes = 4;
  shape.recurrent = state;
}

RecurrentState mamba2_state(const ConfigObject& config) {
  RecurrentState state;
  state.groups = config.required({"mamba_n_groups", "n_groups"}, kMostHeads);
  state.heads = config.required({"mamba_n_heads", "mamba_num_heads"}, kMostHeads);
  state.state_size = config.required({"mamba_d_state", "ssm_state_size"}, kMostHeads);
  state.kernel = config.required({"mamba_d_conv", "conv_kernel"}, kMostHeads);
  const auto inner = config.integer({"mamba_d_ssm"}, kMostWidth);
  if (inner.value_or(0) > 0) {
    state.head_dim = *inner / state.heads;
  } else {
    state.head_dim = config.required({"mamba_d_head", "mamba_head_dim"}, kMostHeads);
  }
  state.inner = state.heads * state.head_dim;
  state.matrix_bytes = matrix_bytes(config.text({"mamba_ssm_cache_dtype", "mamba_ssm_dtype"}));
  state.groups_are_split = false;
  return state;
}

void mamba2_by_types(const ConfigObject& config, ModelShape& shape) {
  if (config.texts("layer_types").empty()) config.refuse("layer_types", "is missing");
  count_layer_types(config, shape.layers, shape);
  shape.recurrent = mamba2_state(config);
}

void bamba(const ConfigObject& config, ModelShape& shape) {
  const auto attention = config.integers("attn_layer_indices", kMostLayers);
  shape.caches.full = static_cast<std::int64_t>(attention.size());
  shape.caches.recurrent = shape.layers - std::min(shape.layers, shape.caches.full);
  shape.recurrent = mamba2_state(config);
}

void falcon_h1(const ConfigObject& config, ModelShape& shape) {
  shape.caches.full = shape.layers;
  shape.caches.recurrent = shape.layers;
  shape.recurrent = mamba2_state(config);
}

// A letter for each layer: M is Mamba-2, * attention; the others keep nothing.
void nemotron_h(const ConfigObject& config, ModelShape& shape) {
  const auto pattern = config.text({"hybrid_override_pattern"});
  if (pattern) {
    shape.caches.full = std::ranges::count(*pattern, '*');
    shape.caches.recurrent = std::ranges::count(*pattern, 'M');
  } else {
    config.refuse("hybrid_override_pattern", "is missing");
  }
  shape.recurrent = mamba2_state(config);
}

constexpr FamilyDefaults kGemma3{8, 4, 256, 262208, 131072};

constexpr std::string_view kSparse = "its sparse attention keeps caches of a form of its own";
constexpr std::string_view kMixed = "its layers keep caches of different sizes";
constexpr std::string_view kLinear = "its recurrent layers keep states of a form of their own";
constexpr std::string_view kCross = "its cross-attention keeps caches of the images";
constexpr std::string_view kPooling = "it keeps no KV cache, so there is none to plan";

// In no order that matters.
constexpr std::array kFamilies{
    Family{"llama", plain},
    Family{"mistral", plain},
    Family{"ministral", plain},
    Family{"ministral3", plain},
    Family{"mixtral", plain},
    Family{"phi", all_full},
    Family{"phi3", plain},
    Family{"phi3_v", plain},
    Family{"phi4mm", plain},
    Family{"phimoe", plain},
    Family{"qwen", all_full},
    Family{"qwen2", qwen},
    Family{"qwen2_moe", qwen},
    Family{"qwen2_vl", qwen},
    Family{"qwen2_vl_text", qwen},
    Family{"qwen2_5_vl", qwen},
    Family{"qwen2_5_vl_text", qwen},
    Family{"qwen3", qwen},
    Family{"qwen3_moe", qwen},
    Family{"qwen3_vl", qwen},
    Family{"qwen3_vl_text", qwen},
    Family{"qwen3_vl_moe", qwen},
    Family{"qwen3_vl_moe_text", qwen},
    Family{"gemma", all_full},
    Family{"gemma2", gemma2},
    Family{"gemma3", gemma3, "", kGemma3},
    Family{"gemma3_text", gemma3, "", kGemma3},
    Family{"gemma3n", gemma3n},
    Family{"gemma3n_text", gemma3n},
    Family{"granite", all_full},
    Family{"granitemoe", all_full},
    Family{"granitemoeshared", all_full},
    Family{"starcoder2", plain},
    Family{"stablelm", all_full},
    Family{"olmo", all_full},
    Family{"olmo2", all_full},
    Family{"olmo3", plain},
    Family{"olmoe", all_full},
    Family{"internlm2", all_full},
    Family{"internlm3", all_full},
    Family{"baichuan", all_full},
    Family{"cohere", all_full},
    Family{"cohere2", cohere2},
    Family{"command-r", all_full},
    Family{"exaone", all_full},
    Family{"nemotron", all_full},
    Family{"arcee", all_full},
    Family{"smollm3", all_full},
    Family{"seed_oss", all_full},
    Family{"glm", all_full},
    Family{"glm4", all_full},
    Family{"glm4_moe", all_full},
    Family{"glm4v_text", all_full},
    Family{"glm4v_moe_text", all_full},
    Family{"minimax_m2", all_full},
    Family{"ernie4_5", all_full},
    Family{"ernie4_5_moe", all_full},
    Family{"hunyuan_v1_dense", all_full},
    Family{"hunyuan_v1_moe", all_full},
    Family{"dots1", all_full},
    Family{"bailing_moe", all_full},
    Family{"gpt_oss", gpt_oss},
    Family{"apertus", all_full},
    Family{"mimo", qwen},
    Family{"solar", all_full},
    Family{"deepseek", all_full},
    Family{"opt", all_full},
    Family{"gpt2", all_full},
    Family{"gpt_neox", all_full},
    Family{"gptj", all_full},
    Family{"gpt_bigcode", all_full},
    Family{"bloom", all_full},
    Family{"falcon", all_full},
    Family{"chatglm", all_full},
    Family{"orion", all_full},
    Family{"xverse", all_full},
    Family{"minicpm", all_full},
    Family{"llama4", llama4},
    Family{"llama4_text", llama4},
    Family{"deepseek_v2", mla},
    Family{"deepseek_v3", mla},
    Family{"deepseek_vl_v2", mla},
    Family{"kimi_k2", mla},
    Family{"glm4_moe_lite", mla},
    Family{"qwen3_next", gated_delta_net},
    Family{"qwen3_5", gated_delta_net},
    Family{"qwen3_5_text", gated_delta_net},
    Family{"qwen3_5_moe", gated_delta_net},
    Family{"qwen3_5_moe_text", gated_delta_net},
    Family{"bamba", bamba},
    Family{"granitemoehybrid", mamba2_by_types},
    Family{"falcon_h1", falcon_h1},
    Family{"nemotron_h", nemotron_h},
    Family{"deepseek_v32", nullptr, kSparse},
    Family{"deepseek_v4", nullptr, kSparse},
    Family{"glm_moe_dsa", nullptr, kSparse},
    Family{"mimo_v2", nullptr, kMixed},
    Family{"mimo_v2_flash", nullptr, kMixed},
    Family{"gemma4", nullptr, kMixed},
    Family{"gemma4_text", nullptr, kMixed},
    Family{"step3", nullptr, kMixed},
    Family{"longcat_flash", nullptr, kMixed},
    Family{"minicpm3", nullptr, kMixed},
    Family{"kimi_linear", nullptr, kLinear},
    Family{"minimax_text_01", nullptr, kLinear},
    Family{"minimax_m1", nullptr, kLinear},
    Family{"minimax", nullptr, kLinear},
    Family{"jamba", nullptr, kLinear},
    Family{"mamba", nullptr, kLinear},
    Family{"mamba2", nullptr, kLinear},
    Family{"falcon_mamba", nullptr, kLinear},
    Family{"zamba2", nullptr, kLinear},
    Family{"plamo2", nullptr, kLinear},
    Family{"lfm2", nullptr, kLinear},
    Family{"lfm2_moe", nullptr, kLinear},
    Family{"rwkv", nullptr, kLinear},
    Family{"mllama", nullptr, kCross},
    Family{"mllama_text_model", nullptr, kCross},
    Family{"whisper", nullptr, kCross},
    Family{"t5", nullptr, kCross},
    Family{"bart", nullptr, kCross},
    Family{"bert", nullptr, kPooling},
    Family{"roberta", nullptr, kPooling},
    Family{"xlm-roberta", nullptr, kPooling},
    Family{"modernbert", nullptr, kPooling},
    Family{"nomic_bert", nullptr, kPooling},
};

std::string squeezed(std::string_view name) {
  std::string letters;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) continue;
    letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters;
}

}  // namespace

const Family* find_family(std::string_view model_type) {
  const auto* const row = std::ranges::find(kFamilies, model_type, &Family::name);
  return row == kFamilies.end() ? nullptr : row;
}

std::string_view family_of_architecture(std::string_view architecture) {
  const std::string name = squeezed(architecture.substr(0, architecture.find("For")));
  const auto* const row = std::ranges::find_if(
      kFamilies, [&name](const Family& family) { return squeezed(family.name) == name; });
  return row == kFamilies.end() ? std::string_view() : row->name;
}

}  // namespace batchproxy
