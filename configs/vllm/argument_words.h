// configs/vllm/argument_words.h - `vllm_args` as on a command line: "--max-num-seqs 64 -tp 2".
//
// Threading: any thread; no state.
#pragma once

#include <optional>
#include <string>

#include "configs/text/diagnostic.h"
#include "configs/yaml/tree.h"

namespace batchproxy {

// The mapping that says the same as `node`, a text or a list of words. A text, and an item that
// begins with a dash, is split as a shell would. Nothing, and an error, if it has no such meaning.
std::optional<Yaml> mapping_of_words(const Yaml& node, const std::string& path, Findings& findings);

}  // namespace batchproxy
