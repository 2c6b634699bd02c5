// launcher/memory/kv_layout.cc - pages, groups and blocks.
#include "launcher/memory/kv_layout.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include <fmt/format.h>

namespace batchproxy {
namespace {

constexpr std::int64_t ceil_of(std::int64_t dividend, std::int64_t divisor) {
  return (dividend + divisor - 1) / divisor;
}

// How --kv-cache-dtype stores a head's vector: bits of an element, and bytes beside each
// `scaled` elements (0: beside the whole vector) for their scale.
struct VectorForm {
  std::string_view name;
  std::int64_t bits;
  std::int64_t scale_bytes = 0;
  std::int64_t scaled = 0;
};
constexpr std::array kVectorForms{
    VectorForm{"float16", 16},
    VectorForm{"bfloat16", 16},
    VectorForm{"fp8", 8},
    VectorForm{"fp8_e4m3", 8},
    VectorForm{"fp8_e5m2", 8},
    VectorForm{"fp8_inc", 8},
    VectorForm{"nvfp4", 4, 1, 16},
    VectorForm{"fp8_per_token_head", 8, 4},
    VectorForm{"int8_per_token_head", 8, 4},
    VectorForm{"int4_per_token_head", 4, 4},
};

std::int64_t vector_bytes(const VectorForm& form, std::int64_t elements) {
  const std::int64_t scales = form.scaled == 0 ? 1 : elements / form.scaled;
  return elements * form.bits / 8 + form.scale_bytes * scales;
}

// Bytes of one token in one attention layer on one GPU.
Planned<std::int64_t> token_bytes(const ModelShape& shape, const EngineFlags& flags) {
  std::string_view type = flags.kv_cache_dtype;
  const AttentionCache& attention = shape.attention;
  if (attention.is_mla() && type == "fp8_ds_mla") return 656;
  if (attention.is_mla() && type == "nvfp4_ds_mla") return 352;
  VectorForm form{"auto", dtype_bytes(flags) * 8};
  if (type == "auto" && shape.has_fp8_kv_scales) type = "fp8";
  if (type != "auto") {
    const auto* const row = std::ranges::find(kVectorForms, type, &VectorForm::name);
    if (row == kVectorForms.end()) {
      return NotPlanned{fmt::format("there is no formula for --kv-cache-dtype {}", type)};
    }
    form = *row;
  }
  if (attention.is_mla()) {
    if (form.scale_bytes > 0) {
      return NotPlanned{
          fmt::format("there is no formula for --kv-cache-dtype {} of an MLA model", type)};
    }
    return vector_bytes(form, attention.latent);
  }
  const std::int64_t heads =
      std::max<std::int64_t>(1, attention.kv_heads / flags.tensor_parallel());
  return 2 * heads * vector_bytes(form, attention.head_dim);
}

// Bytes of one sequence in one recurrent layer on one GPU.
std::int64_t state_bytes(const RecurrentState& state, const EngineFlags& flags) {
  const std::int64_t gpus = flags.tensor_parallel();
  const bool copies_groups = !state.groups_are_split && state.groups % gpus != 0;
  const std::int64_t groups = copies_groups ? gpus : state.groups;
  const std::int64_t channels = (state.inner + 2 * groups * state.state_size) / gpus;
  const std::int64_t element = dtype_bytes(flags);
  const std::int64_t matrix_element = state.matrix_bytes > 0 ? state.matrix_bytes : element;
  return channels * (state.kernel - 1 + flags.mtp_tokens) * element +
         state.heads / gpus * state.head_dim * state.state_size * matrix_element;
}

// Layers of a group. Kinds differ in number, so a group of the larger may be padded instead.
std::int64_t group_size(const CacheLayers& layers, const Version& version) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  std::int64_t most = 0;
  for (const std::int64_t count : {layers.full, layers.sliding, layers.chunked, layers.recurrent}) {
    if (count == 0) continue;
    least = std::min(least, count);
    most = std::max(most, count);
  }
  const double padded_up_to = version >= kLargerGroupRule ? 1.5 : 1.25;
  return static_cast<double>(most) < padded_up_to * static_cast<double>(least) ? most : least;
}

}  // namespace

std::int64_t KvLayout::blocks_for(std::int64_t tokens) const {
  const auto blocks_of = [this](std::int64_t count) { return ceil_of(count, block_size); };
  return groups.full * blocks_of(tokens) +
         groups.sliding * (blocks_of(std::min(window - 1 + in_flight, tokens)) + 1) +
         groups.chunked * blocks_of(std::min(chunk + in_flight, tokens)) +
         groups.recurrent * states;
}

std::int64_t KvLayout::longest_in(std::int64_t blocks, std::int64_t limit) const {
  std::int64_t fits = 0;
  std::int64_t too_long = limit + 1;
  while (too_long - fits > 1) {
    const std::int64_t middle = fits + (too_long - fits) / 2;
    (blocks_for(middle) <= blocks ? fits : too_long) = middle;
  }
  return fits;
}

std::int64_t KvLayout::bytes_per_token() const {
  const std::int64_t growing = groups.full > 0 ? groups.full : groups.all();
  return pool_block_bytes * growing / block_size;
}

Planned<KvLayout> kv_layout(const ModelShape& shape, const CacheLayers& layers,
                            const EngineFlags& flags, std::int64_t max_num_batched_tokens) {
  const auto token = token_bytes(shape, flags);
  if (!token) return token.error();
  if (*token < 1) return NotPlanned{"a token of this KV cache would take no memory"};
  if (flags.pipeline_parallel_size > 1 && layers.all() != layers.full) {
    return NotPlanned{
        "there is no formula for pipeline stages of a model with windows or recurrent layers"};
  }
  KvLayout layout;
  layout.block_size = flags.block_size;
  layout.window = shape.window;
  layout.chunk = shape.chunk;
  layout.in_flight = max_num_batched_tokens * (flags.version >= kTwoBatchesInFlight ? 2 : 1);
  if (shape.recurrent && layers.recurrent > 0) {
    // A page of tokens must hold a state: the block grows until it does.
    const std::int64_t step = flags.block_size * *token;
    layout.block_size *=
        std::max<std::int64_t>(1, ceil_of(state_bytes(*shape.recurrent, flags), step));
    layout.states = (flags.enable_prefix_caching.value_or(true) ? 2 : 1) + flags.mtp_tokens;
  }
  const std::int64_t size = group_size(layers, flags.version);
  layout.groups.full = ceil_of(layers.full, size);
  layout.groups.sliding = ceil_of(layers.sliding, size);
  layout.groups.chunked = ceil_of(layers.chunked, size);
  layout.groups.recurrent = ceil_of(layers.recurrent, size);
  layout.pool_block_bytes = layout.block_size * *token * size;
  return layout;
}

}  // namespace batchproxy
