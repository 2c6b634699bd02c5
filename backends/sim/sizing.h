// backends/sim/sizing.h - what a simulated engine with given flags is sized to, and whether it
// comes up.
//
// Threading: pure functions, but for MODEL/config.json, which is read.
#pragma once

#include <optional>

#include "backends/sim/failure.h"
#include "backends/sim/flags.h"
#include "backends/sim/memory.h"
#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {

struct Sizing {
  KvMemory memory;
  int max_model_len = 0;
};

Sizing sizing_of(const SimFlags& flags, const Hardware& hardware);

// How it fails while it loads: as --sim-fail says, or for a context that does not fit. Nothing if
// it comes up.
std::optional<Failure> failure_while_loading(const SimFlags& flags, const Sizing& sizing);

}  // namespace batchproxy::sim
