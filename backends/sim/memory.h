// backends/sim/memory.h - the memory that a simulated engine has for its KV cache, and vLLM's words
// when that is too little.
//
// Its sums are its own, and not those of launcher/memory: an engine does not know of a launcher,
// and a plan that is tried against it must not agree by being the same code.
//
// Threading: pure functions; read_model_shape() reads one file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace batchproxy::sim {

// What of a model decides how large its KV cache is. The default is Llama-2-7B, which the simulated
// times belong to; Qwen1.5-7B-Chat has the same.
struct ModelShape {
  int layers = 32;
  int kv_heads = 32;
  int head_dim = 128;
  int element_bytes = 2;
  int max_position = 32768;  // the longest context that it was made for

  friend bool operator==(const ModelShape&, const ModelShape&) = default;
};

// "layers,kv_heads,head_dim,element_bytes", such as "32,32,128,2"; the rest is the default's.
// Throws std::invalid_argument.
ModelShape parse_model_shape(const std::string& text);

// From `model`/config.json; nothing if there is no such file, or it does not say. Elements have two
// bytes whatever it says: vLLM serves float32 as bfloat16.
std::optional<ModelShape> read_model_shape(const std::string& model);

// "4.85GiB", "4.85". Throws std::invalid_argument.
double parse_gib(const std::string& text);

// A version of vLLM, as far as its words and its arithmetic differ.
struct VllmVersion {
  int major = 0;
  int minor = 32;

  bool is_before(int other_minor) const { return major == 0 && minor < other_minor; }
  friend bool operator==(const VllmVersion&, const VllmVersion&) = default;
};

// "0.33", "0.7.3". Throws std::invalid_argument.
VllmVersion parse_vllm_version(const std::string& text);

// The KV cache of one GPU.
struct KvMemory {
  double gib = 0;
  double bytes_per_token = 524288;  // on this GPU
  VllmVersion version;

  // That requests can have: 0.33 keeps one for itself.
  std::int64_t blocks() const;
  std::int64_t tokens() const;
};

// With `gpus` of them for the heads and `stages` for the layers.
double kv_bytes_per_token(const ModelShape& shape, int gpus, int stages);

// The error with which vLLM refuses a context that does not fit; empty if it fits.
std::string kv_error(const KvMemory& memory, std::int64_t max_model_len);

}  // namespace batchproxy::sim
