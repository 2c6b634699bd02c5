// launcher/doctor/model_folder.h - where the files of a model are on this machine.
//
// Threading: any thread; reads directories.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/machine.h"

namespace batchproxy {

// The folder of `model`, a directory or a Hugging Face id whose snapshot lies in the cache, as the
// machine's programs see it. Empty when it is not here.
std::string model_folder(const Machine& machine, const std::string& model);

// Whether a name of a file is that of weights: .safetensors, .bin, .pt, .pth, .gguf.
bool is_weights(std::string_view name);

// Bytes of all weights of one kind, as a start reads them: of the .safetensors if there are any. 0
// when there are none, or no folder.
std::uint64_t checkpoint_size(const Machine& machine, const std::string& folder);

}  // namespace batchproxy
