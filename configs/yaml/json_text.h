// configs/yaml/json_text.h - a YAML value as compact JSON, for vLLM arguments that take JSON.
//
// Threading: any thread; no state.
#pragma once

#include <string>

#include "configs/yaml/tree.h"

namespace batchproxy {

// Unquoted null, booleans and numbers become JSON's; every other scalar becomes a string.
std::string to_json(const Yaml& node);

}  // namespace batchproxy
