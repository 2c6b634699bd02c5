// configs/yaml/writer.h - a YAML tree as text again, for files that are made of a user's own.
//
// parse_yaml() reads the text as the same content. Comments are not in the tree, so they are gone;
// aliases and merge keys are written out.
//
// Threading: any thread; no state.
#pragma once

#include <string>

#include "configs/yaml/tree.h"

namespace batchproxy {

std::string to_yaml(const Yaml& root);

}  // namespace batchproxy
