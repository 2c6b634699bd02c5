// launcher/memory/model/weights.cc - see weights.h.
#include "launcher/memory/model/weights.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

enum class Role { kEmbedding, kHead, kDraft, kRest };

bool has_any(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(
      parts, [name](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

// The 61 of "model.layers.61.mlp.up_proj.weight"; -1 for a tensor of no layer.
std::int64_t layer_of(std::string_view name) {
  constexpr std::string_view kMark = "layers.";
  const std::size_t at = name.find(kMark);
  if (at == std::string_view::npos) return -1;
  const std::string_view rest = name.substr(at + kMark.size());
  return number_in<std::int64_t>(rest.substr(0, rest.find('.'))).value_or(-1);
}

Role role_of(std::string_view name, const ModelShape& shape) {
  const bool is_language = !has_any(name, {"visi", "audio", "image"});
  if (name.starts_with("mtp.") || has_any(name, {".mtp."})) return Role::kDraft;
  if (shape.draft_layers > 0 && is_language && layer_of(name) >= shape.layers) return Role::kDraft;
  if (is_language && has_any(name, {"embed_tokens.", "wte.", "word_embeddings.", "embed_in.",
                                    "backbone.embeddings."})) {
    return Role::kEmbedding;
  }
  if (name.starts_with("lm_head.") || has_any(name, {".lm_head.", "embed_out."})) {
    return Role::kHead;
  }
  return Role::kRest;
}

std::string_view place_of(Role role) {
  switch (role) {
    case Role::kEmbedding:
      return "shared out by vocabulary over a stage's GPUs; first pipeline stage";
    case Role::kHead:
      return "shared out by vocabulary over a stage's GPUs; last pipeline stage";
    case Role::kDraft:
      return "shared out over a stage's GPUs; only with speculative decoding";
    case Role::kRest:
      break;
  }
  return "shared out over the GPUs of its layer's pipeline stage";
}

// The part of a 16-bit linear layer that is left; nothing for a name that is not known.
std::optional<double> kept_by(std::string_view quantization) {
  if (quantization.starts_with("fp8") || quantization == "ptpc_fp8") return 0.5;
  if (quantization.starts_with("int8") || quantization == "experts_int8") return 0.5;
  if (quantization == "bitsandbytes") return 0.27;  // 4 bits, and a scale for each 64 of them
  return std::nullopt;
}

std::int64_t loaded_bytes(const Tensor& tensor, const LoadAs& load, bool is_quantized) {
  const bool is_16_bits = tensor.dtype == "F16" || tensor.dtype == "BF16";
  const bool is_wider = tensor.dtype == "F32" || tensor.dtype == "F64";
  if (is_16_bits || (is_wider && !is_quantized)) return tensor.elements * load.dtype_bytes;
  return tensor.bytes;  // packed weights, and scales in 32 bits
}

}  // namespace

Planned<Weights> weigh(const std::vector<Tensor>& tensors, const ModelShape& shape,
                       const LoadAs& load) {
  const bool is_quantized = !shape.quantization.empty();
  double kept = 1;
  if (!is_quantized && !load.quantization.empty()) {
    const auto part = kept_by(load.quantization);
    if (!part) {
      return NotPlanned{fmt::format(
          "it is not known here what --quantization {} makes of these weights", load.quantization)};
    }
    kept = *part * 2 / static_cast<double>(load.dtype_bytes);
  }
  Weights weights;
  for (const Tensor& tensor : tensors) {
    weights.by_dtype[tensor.dtype] += tensor.bytes;
    std::int64_t bytes = loaded_bytes(tensor, load, is_quantized);
    const Role role = role_of(tensor.name, shape);
    if (role == Role::kRest) {
      bytes = static_cast<std::int64_t>(static_cast<double>(bytes) * kept);
    }
    if (bytes >= kLargeTensor) {
      weights.large.push_back({tensor.name, bytes, std::string(place_of(role))});
    }
    if (role == Role::kEmbedding) {
      weights.embedding += bytes;
    } else if (role == Role::kHead) {
      if (!shape.ties_embeddings) weights.head += bytes;
    } else if (role == Role::kRest || load.with_draft) {
      weights.rest += bytes;
    }
  }
  std::ranges::sort(weights.large, std::greater(), &LargeTensor::bytes);
  return weights;
}

Weights weigh_total(std::int64_t bytes) {
  Weights weights;
  weights.rest = bytes;
  return weights;
}

std::vector<std::int64_t> stage_layers(std::int64_t layers, std::int64_t stages) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(stages), layers / stages);
  const auto over = static_cast<std::size_t>(layers % stages);
  for (std::size_t i = 0; i < over; ++i) ++split[split.size() - 2 - i];
  return split;
}

std::int64_t weights_per_gpu(const Weights& weights, const ModelShape& shape,
                             std::int64_t tensor_parallel, std::int64_t stages,
                             std::int64_t stage) {
  const auto layers = stage_layers(shape.layers, stages)[static_cast<std::size_t>(stage)];
  double bytes = static_cast<double>(weights.rest) * static_cast<double>(layers) /
                 static_cast<double>(shape.layers);
  const bool is_first = stage == 0;
  const bool is_last = stage == stages - 1;
  if (is_first || (is_last && shape.ties_embeddings)) {
    bytes += static_cast<double>(weights.embedding);
  }
  if (is_last) bytes += static_cast<double>(weights.head);
  return static_cast<std::int64_t>(bytes / static_cast<double>(tensor_parallel));
}

}  // namespace batchproxy
