// configs/overrides.h - keys that flags and environment variables set.
//
// Threading: any thread; no state.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "configs/options.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// The flag and variable of each key that has one, in the order of --help.
std::vector<KeyFlag> key_flags();

// BATCHPROXY_LISTEN and its like. An empty variable counts as unset.
void apply_environment(const std::map<std::string, std::string>& environment, Options& options,
                       Findings& findings);

// {"--listen", "0.0.0.0:9000"} and its like; a later flag of the same name wins, but --backend
// adds.
void apply_flags(const std::vector<std::pair<std::string, std::string>>& flags, Options& options,
                 Findings& findings);

// The VLLM_* names that people's scripts export. They fill only what nothing else has set, and only
// what the chosen source of engines uses; each use is announced.
void apply_vllm_environment(const std::map<std::string, std::string>& environment, Options& options,
                            Findings& findings);

}  // namespace batchproxy
