// launcher/memory/model/model_shape.h - what decides a model's memory: read from its config.json.
//
//   const Planned<ModelShape> shape = read_model_shape({"/models/x/config.json", text});
//
// Only families whose caches are known are read (families.h has the table). Of any other the answer
// is a reason: a wrong plan is worse than none.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "launcher/memory/model/not_planned.h"

namespace batchproxy {

// The layers that keep a cache, by what they keep. A layer may be counted twice (Falcon-H1 has
// attention and a recurrent state in each), or not at all (one that reads another layer's cache).
struct CacheLayers {
  std::int64_t full = 0;       // all tokens
  std::int64_t sliding = 0;    // the last `window` tokens
  std::int64_t chunked = 0;    // the tokens of the current chunk of `chunk`
  std::int64_t recurrent = 0;  // one state, however long the text

  std::int64_t all() const { return full + sliding + chunked + recurrent; }
  friend bool operator==(const CacheLayers&, const CacheLayers&) = default;
};

// What an attention layer keeps of each token.
struct AttentionCache {
  std::int64_t kv_heads = 0;  // shared out over tensor parallel GPUs, at least one each
  std::int64_t head_dim = 0;  // of a key, and of a value
  std::int64_t latent = 0;    // MLA: elements of the one compressed vector; each GPU has it whole

  bool is_mla() const { return latent > 0; }
  friend bool operator==(const AttentionCache&, const AttentionCache&) = default;
};

// What a Mamba-2 or gated delta net layer keeps of each sequence: a convolution's last inputs, of
// `inner` + 2 `groups` x `state_size` channels, and a matrix for each head.
struct RecurrentState {
  std::int64_t inner = 0;
  std::int64_t groups = 0;
  std::int64_t state_size = 0;
  std::int64_t kernel = 0;  // of the convolution; one less is kept
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t matrix_bytes = 0;  // of an element of the matrix; 0: as the model's dtype
  bool groups_are_split = true;   // else a group less than GPUs is copied

  friend bool operator==(const RecurrentState&, const RecurrentState&) = default;
};

struct ModelShape {
  std::string family;  // the model_type that was read: "llama", "qwen3_5_text"
  std::int64_t layers = 0;
  CacheLayers caches;
  AttentionCache attention;
  std::int64_t window = 0;
  std::int64_t chunk = 0;
  std::optional<RecurrentState> recurrent;

  std::int64_t heads = 0;
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;        // 0 where the file does not say
  std::int64_t intermediate = 0;  // of a dense layer; 0 where the file does not say
  bool is_moe = false;
  bool is_multimodal = false;
  bool ties_embeddings = false;
  std::int64_t draft_layers = 0;  // MTP layers in the checkpoint, used when asked for

  std::int64_t max_positions = 0;  // the context vLLM derives; 0 where the file does not say
  std::string quantization;        // of the checkpoint: "fp8", "awq"; empty for none
  bool has_fp8_kv_scales = false;  // the checkpoint asks for an fp8 KV cache

  bool is_hybrid() const { return caches.recurrent > 0; }
};

// One of the model's files: `name` is what sentences call it.
struct ModelFile {
  std::string name;
  std::string text;
};

// `quantization` is hf_quant_config.json, which ModelOpt writes beside config.json; no text where
// there is none.
Planned<ModelShape> read_model_shape(const ModelFile& config,
                                     const ModelFile& quantization = ModelFile());

}  // namespace batchproxy
