// launcher/gpus/gpu_pool.h - which GPUs we may give to engines.
//
// Threading: any thread; call once at start-up (the driver may take a second to answer).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/options.h"
#include "launcher/base/result.h"
#include "launcher/gpus/gpu.h"
#include "launcher/gpus/nvml.h"
#include "launcher/gpus/visible_devices.h"

namespace batchproxy {

struct GpuPool {
  Gpus gpus;
  std::vector<std::string> remarks{};  // a sentence for each GPU that was left out
};

// The pool for engines, in order. `asked` is launcher.gpus: 0 for all that the driver sees, a
// number or a list without asking the driver. The variables limit either, and order the first two.
// UUIDs become indices where the driver can be asked. Of all that it sees, a GPU that does not
// answer is left out, and one that is divided is its MIG instances, since programs find no whole
// one there. `library` is a name for dlopen or a path. `without_driver`: what to do where the
// driver would have to be asked and cannot be.
inline constexpr std::string_view kTellTheNumber =
    "set batchproxy.launcher.gpus to the number of GPUs, or try --engine sim";
OrError<GpuPool> find_gpus(const GpuChoice& asked, const VisibleVariables& variables,
                           const std::string& library = kNvmlLibrary,
                           std::string_view without_driver = kTellTheNumber);

}  // namespace batchproxy
