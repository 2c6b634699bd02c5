// launcher/plan/adapter_names.h - the LoRA adapters that an engine is started with.
//
// Threading: pure function over values.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/argument.h"

namespace batchproxy {

// The names in `lora_modules`: "name=path" words or {"name": ..., "path": ...} mappings, one or a
// list. Clients send such a name as `model`. What is neither has no name here; vLLM will say so.
std::vector<std::string> adapter_names(const Arguments& arguments);

}  // namespace batchproxy
