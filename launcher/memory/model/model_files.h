// launcher/memory/model/model_files.h - finds a model on this machine, and reads the files that the
// plan needs.
//
// Threading: any thread. Reads headers and small files only, but of a slow disk it may take
// seconds: not for a thread that serves requests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/sources/environment.h"
#include "launcher/memory/model/model_shape.h"
#include "launcher/memory/model/safetensors.h"

namespace batchproxy {

// The directory of `model`: itself, if it is one; else its newest snapshot in Hugging Face's cache,
// as HF_HUB_CACHE, HF_HOME and XDG_CACHE_HOME say where that is. A reason when it is in neither.
Planned<std::string> find_model(const std::string& model, const Environment& environment);

struct ModelFiles {
  std::string directory;
  ModelFile config;                   // config.json
  ModelFile quantization;             // hf_quant_config.json; no text where there is none
  std::vector<Tensor> tensors;        // of all shards; none without safetensors
  std::int64_t checkpoint_bytes = 0;  // without headers: what the index, or file sizes, tell
  std::vector<std::string> warnings;  // sentences: what an engine will stumble over
};

// A reason when config.json cannot be read, or a safetensors header is damaged.
Planned<ModelFiles> read_model_files(const std::string& directory);

}  // namespace batchproxy
