// launcher/gpus/gpu_pool.h - which GPUs we may give to engines.
//
// Threading: any thread; call once at start-up (the driver may take a second to answer).
#pragma once

#include <string>

#include "configs/schema/options.h"
#include "launcher/base/result.h"
#include "launcher/gpus/gpu.h"
#include "launcher/gpus/nvml.h"
#include "launcher/gpus/visible_devices.h"

namespace batchproxy {

// How many GPUs the driver sees. `library` is a name for dlopen or a path.
OrError<int> count_gpus(const std::string& library = kNvmlLibrary);

// The pool for engines, in order. `asked` is launcher.gpus: 0 for all that the driver sees, a
// number or a list without asking the driver. The variables limit either, and order the first two.
// UUIDs become indices where the driver can be asked.
OrError<Gpus> find_gpus(const GpuChoice& asked, const VisibleVariables& variables,
                        const std::string& library = kNvmlLibrary);

}  // namespace batchproxy
