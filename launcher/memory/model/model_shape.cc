// launcher/memory/model/model_shape.cc - the keys that all families share, under their many names.
#include "launcher/memory/model/model_shape.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "launcher/memory/model/config_json.h"
#include "launcher/memory/model/families.h"

namespace batchproxy {
namespace {

constexpr std::int64_t kMostLayers = 4096;
constexpr std::int64_t kMostHeads = 1 << 16;
constexpr std::int64_t kMostWidth = 1 << 24;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;

// The part that describes the language model: models of images and sound have it inside.
ConfigObject language_part(const ConfigObject& root) {
  const auto thinker = root.object({"thinker_config"});
  const auto inner =
      (thinker ? *thinker : root).object({"text_config", "llm_config", "language_config"});
  return inner ? *inner : root;
}

std::string model_type_of(const ConfigObject& part, const ConfigObject& root) {
  for (const ConfigObject* object : {&part, &root}) {
    if (const auto type = object->text({"model_type"}); type && !type->empty()) return *type;
    const auto architectures = object->texts("architectures");
    if (architectures.empty()) continue;
    const std::string_view family = family_of_architecture(architectures.front());
    return std::string(family.empty() ? std::string_view(architectures.front()) : family);
  }
  return "";
}

std::int64_t or_default(std::optional<std::int64_t> value, std::int64_t fallback) {
  return value.value_or(0) > 0 ? *value : fallback;
}

// How many heads keep keys and values.
std::int64_t kv_heads(const ConfigObject& config, const FamilyDefaults& defaults,
                      const ModelShape& shape) {
  const auto told = config.integer(
      {"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"}, kMostHeads);
  // Falcon's older form, GPT-BigCode and ChatGLM say it with a flag.
  const bool is_new_falcon = config.flag("new_decoder_architecture").value_or(false);
  const bool one = !is_new_falcon && config.flag("multi_query").value_or(false);
  if (one) return 1;
  return or_default(told, or_default(defaults.kv_heads, shape.heads));
}

std::int64_t head_dim(const ConfigObject& config, const FamilyDefaults& defaults,
                      const ModelShape& shape) {
  const auto told = config.integer({"head_dim", "attention_head_dim", "kv_channels"}, kMostHeads);
  if (told.value_or(0) > 0) return *told;
  if (defaults.head_dim > 0) return defaults.head_dim;
  if (shape.hidden > 0) return shape.hidden / shape.heads;
  config.refuse("head_dim", "is missing, and so is hidden_size");
  return 1;
}

// The factor by which positions are stretched beyond what was trained.
std::int64_t stretched(const ConfigObject& rope, const std::string& family,
                       std::int64_t positions) {
  const std::string type = rope.text({"rope_type", "type"}).value_or("default");
  const double factor = rope.number("factor").value_or(1);
  const bool counts_already =
      type == "su" || type == "longrope" || type == "llama3" || family.starts_with("gemma3");
  if (counts_already || !(factor >= 1 && factor < 1e6)) return positions;
  if (type == "yarn") {
    positions = rope.integer({"original_max_position_embeddings"}, kMostTokens).value_or(positions);
  }
  return static_cast<std::int64_t>(static_cast<double>(positions) * factor);
}

// The longest context, as vLLM derives it.
std::int64_t max_positions(const ConfigObject& config, const FamilyDefaults& defaults,
                           const std::string& family) {
  const auto told = config.integer({"max_position_embeddings", "n_positions", "max_seq_len",
                                    "seq_length", "model_max_length", "max_sequence_length"},
                                   kMostTokens);
  const std::int64_t positions = or_default(told, defaults.positions);
  const auto rope = config.object({"rope_scaling", "rope_parameters"});
  return rope ? stretched(*rope, family, positions) : positions;
}

bool is_fp8_scheme(const ConfigObject& quantization) {
  const auto scheme = quantization.object({"kv_cache_scheme"});
  return scheme && scheme->integer({"num_bits"}, 64).value_or(0) == 8;
}

bool is_fp8_name(const std::optional<std::string>& name) {
  return name && (name->starts_with("FP8") || name->starts_with("fp8"));
}

void read_quantization(const ConfigObject& part, const ConfigObject& root, ModelShape& shape) {
  auto quantization = root.object({"quantization_config", "compression_config"});
  if (!quantization) quantization = part.object({"quantization_config", "compression_config"});
  if (!quantization) return;
  shape.quantization =
      quantization->text({"quant_method", "quant_algo"}).value_or("of an unknown kind");
  shape.has_fp8_kv_scales =
      is_fp8_scheme(*quantization) || is_fp8_name(quantization->text({"kv_cache_quant_algo"}));
}

void read_modelopt(const ConfigObject& root, ModelShape& shape) {
  const auto quantization = root.object({"quantization"});
  if (!quantization) return;
  if (shape.quantization.empty()) {
    shape.quantization = quantization->text({"quant_algo"}).value_or("");
  }
  if (is_fp8_name(quantization->text({"kv_cache_quant_algo"}))) shape.has_fp8_kv_scales = true;
}

ModelShape read_plain_keys(const ConfigObject& config, const Family& family) {
  ModelShape shape;
  shape.family = family.name;
  shape.layers =
      config.required({"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, kMostLayers);
  shape.heads = config.integer({"num_attention_heads", "n_head", "n_heads"}, kMostHeads)
                    .value_or(family.defaults.heads);
  if (shape.heads == 0) config.refuse("num_attention_heads", "is missing");
  shape.heads = std::max<std::int64_t>(shape.heads, 1);
  shape.hidden = config.integer({"hidden_size", "n_embd", "d_model"}, kMostWidth).value_or(0);
  shape.attention.kv_heads = kv_heads(config, family.defaults, shape);
  shape.attention.head_dim = head_dim(config, family.defaults, shape);
  shape.intermediate =
      config.integer({"intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"}, kMostWidth)
          .value_or(0);
  shape.vocabulary = or_default(config.integer({"vocab_size", "padded_vocab_size"}, kMostTokens),
                                family.defaults.vocabulary);
  if (shape.vocabulary == 0) config.refuse("vocab_size", "is missing");
  const auto experts = config.integer(
      {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"}, kMostHeads);
  shape.is_moe = experts.value_or(0) > 1;
  shape.draft_layers =
      config.integer({"num_nextn_predict_layers", "mtp_num_hidden_layers"}, kMostLayers)
          .value_or(0);
  shape.max_positions = max_positions(config, family.defaults, shape.family);
  return shape;
}

}  // namespace

Planned<ModelShape> read_model_shape(const ModelFile& config, const ModelFile& quantization) {
  const ConfigJson file(config.name, config.text);
  const ConfigObject root = file.root();
  const ConfigObject part = language_part(root);
  const std::string type = model_type_of(part, root);
  if (!file.fault().empty()) return NotPlanned{file.fault()};
  if (type.empty()) {
    return NotPlanned{config.name + ": model_type is missing, so the family is not known"};
  }
  const Family* family = find_family(type);
  if (family == nullptr || family->read == nullptr) {
    return NotPlanned{fmt::format("{}: there is no formula for model_type '{}'{}{}", config.name,
                                  type, family == nullptr ? "" : ": ",
                                  family == nullptr ? "" : family->no_formula)};
  }
  ModelShape shape = read_plain_keys(part, *family);
  family->read(part, shape);
  shape.is_multimodal =
      root.has("vision_config") || root.has("audio_config") || root.has("thinker_config");
  shape.ties_embeddings =
      part.flag("tie_word_embeddings").value_or(root.flag("tie_word_embeddings").value_or(false));
  read_quantization(part, root, shape);
  if (!file.fault().empty()) return NotPlanned{file.fault()};
  if (shape.caches.all() == 0) {
    return NotPlanned{config.name + ": no layer keeps a cache, so there is none to plan"};
  }
  const CacheLayers& caches = shape.caches;
  if ((caches.sliding > 0 && shape.window == 0) || (caches.chunked > 0 && shape.chunk == 0)) {
    return NotPlanned{fmt::format("{}: layer_types has windows, but {} is missing", config.name,
                                  caches.sliding > 0 ? "sliding_window" : "attention_chunk_size")};
  }
  if (!quantization.text.empty()) {
    const ConfigJson modelopt(quantization.name, quantization.text);
    read_modelopt(modelopt.root(), shape);
    if (!modelopt.fault().empty()) return NotPlanned{modelopt.fault()};
  }
  return shape;
}

}  // namespace batchproxy
