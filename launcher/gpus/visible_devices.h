// launcher/gpus/visible_devices.h - lists of GPUs as people and programs write them.
//
// Threading: pure functions over values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "configs/sources/environment.h"
#include "launcher/base/result.h"
#include "launcher/gpus/gpu.h"
#include "launcher/gpus/inventory.h"

namespace batchproxy {

// The variables that limit programs to some GPUs, as we have inherited them.
struct VisibleVariables {
  std::optional<std::string> cuda{};    // CUDA_VISIBLE_DEVICES
  std::optional<std::string> nvidia{};  // NVIDIA_VISIBLE_DEVICES, looked at where `cuda` is not set
};

VisibleVariables visible_variables(const Environment& environment);

// The GPUs that engines may get, of an inventory's.
struct OurGpus {
  Gpus gpus;
  std::string limited_by{};  // "CUDA_VISIBLE_DEVICES=4,5"; empty when nothing does
  std::string problem{};     // why that limit means none; then `gpus` is empty
};

// The GPUs of a CUDA_VISIBLE_DEVICES value, in its order: indices, UUIDs or beginnings of UUIDs,
// MIG ids. "" and "-1" mean none. `source` names the list in messages.
OrError<Gpus> parse_visible_devices(const std::string& value,
                                    std::string_view source = "CUDA_VISIBLE_DEVICES");

// The same GPUs by their indices, since many versions of vLLM read no UUIDs. A MIG instance has no
// index and gets its whole UUID. An error for one that is not there, or a beginning of several.
OrError<Gpus> known_devices(const Gpus& listed, const Inventory& inventory,
                            std::string_view source = "CUDA_VISIBLE_DEVICES");

// Which of `count` GPUs NVIDIA_VISIBLE_DEVICES means; nothing when it limits none. It is written
// for the container runtime and holds the host's numbers: inside the container the driver shows
// only the named GPUs, numbered from 0, so indices count only where the driver shows more than they
// name.
OrError<std::optional<Gpus>> nvidia_visible_devices(const std::string& value, int count);

// All that programs can use: each GPU that answers, and of one that is divided its MIG instances,
// since programs find no whole one there.
Gpus usable_gpus(const Inventory& inventory);

OurGpus our_gpus(const Inventory& inventory, const VisibleVariables& variables);

}  // namespace batchproxy
