// configs/sources/vllm_environment.h - the VLLM_* names that people's launch scripts export.
//
// Threading: any thread; no state.
#pragma once

#include "configs/schema/options.h"
#include "configs/sources/overrides.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// The VLLM_* names that people's scripts export. They fill only what nothing else has set, and only
// what the chosen source of engines uses; each use is announced.
void apply_vllm_environment(const Environment& environment, Options& options, Findings& findings);

}  // namespace batchproxy
