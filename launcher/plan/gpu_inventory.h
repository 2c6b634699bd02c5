// launcher/plan/gpu_inventory.h - which GPUs we may give to engines.
//
// Threading: any thread; call once at start-up (the driver may take a second to answer).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/gpu.h"
#include "launcher/plan/result.h"

namespace batchproxy {

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

// How many GPUs the driver sees. `nvml_library` is a name for dlopen or a path.
OrError<int> count_gpus(const std::string& nvml_library = kNvmlLibrary);

// The GPUs of a CUDA_VISIBLE_DEVICES value, in its order. "" and "-1" mean none.
OrError<Gpus> parse_visible_devices(const std::string& value);

// The pool for engines: `asked` GPUs (launcher.gpus) without asking the driver, or all that the
// driver sees when `asked` is 0; an inherited CUDA_VISIBLE_DEVICES limits and orders either.
OrError<Gpus> find_gpus(std::int64_t asked, const std::optional<std::string>& cuda_visible_devices,
                        const std::string& nvml_library = kNvmlLibrary);

}  // namespace batchproxy
