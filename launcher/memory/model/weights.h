// launcher/memory/model/weights.h - what a checkpoint's tensors take on GPUs.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "launcher/memory/model/model_shape.h"
#include "launcher/memory/model/safetensors.h"

namespace batchproxy {

// How the engine is told to load it.
struct LoadAs {
  std::int64_t dtype_bytes = 2;  // of --dtype; auto is 16 bits, for a checkpoint of 32, too
  std::string quantization{};    // --quantization; counts where the checkpoint has none itself
  bool with_draft = false;       // its MTP layers are used
};

struct LargeTensor {
  std::string name;
  std::int64_t bytes = 0;  // as loaded
  std::string place;       // "shared out by vocabulary, first pipeline stage"
};

inline constexpr std::int64_t kLargeTensor = 500'000'000;

// Bytes as loaded, on all GPUs together.
struct Weights {
  std::int64_t embedding = 0;  // of the first pipeline stage, and of the last where it is tied
  std::int64_t head = 0;       // of the last pipeline stage
  std::int64_t rest = 0;       // shared out over all stages
  std::map<std::string, std::int64_t> by_dtype;  // in the files, before anything is loaded
  std::vector<LargeTensor> large;                // the largest first

  std::int64_t all() const { return embedding + head + rest; }
};

// Nothing but a reason for a --quantization whose sizes are not known here.
Planned<Weights> weigh(const std::vector<Tensor>& tensors, const ModelShape& shape,
                       const LoadAs& load);

// The same of a checkpoint whose headers cannot be read, and only the bytes of all are known.
Weights weigh_total(std::int64_t bytes);

// The layers of each pipeline stage. As vLLM splits them: what is over goes to the stages before
// the last, as the last has the head.
std::vector<std::int64_t> stage_layers(std::int64_t layers, std::int64_t stages);

// Bytes on each GPU of a stage.
std::int64_t weights_per_gpu(const Weights& weights, const ModelShape& shape,
                             std::int64_t tensor_parallel, std::int64_t stages, std::int64_t stage);

}  // namespace batchproxy
