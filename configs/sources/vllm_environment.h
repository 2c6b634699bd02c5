// configs/sources/vllm_environment.h - the VLLM_* names that people's launch scripts export.
//
// Threading: any thread; no state.
#pragma once

#include <string_view>

#include "configs/schema/options.h"
#include "configs/sources/overrides.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// Whether it is one of the names that scripts export for a launcher: what an engine need not see.
bool is_borrowed(std::string_view name);

// The VLLM_* names that people's scripts export, and GPU_COUNT, MAX_LORAS, MAX_LORA_RANK and
// DEBUG=1 or 2 beside them. They fill only what nothing else has set, and only what the chosen
// source of engines uses; each use is announced.
void apply_vllm_environment(const Environment& environment, Options& options, Findings& findings);

}  // namespace batchproxy
