// configs/sources/overrides.h - keys that flags and environment variables set.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "configs/schema/options.h"
#include "configs/sources/environment.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// A command-line flag that sets a key, as {"--listen", "0.0.0.0:9000"}. The key's row in options.h
// names it, and the variable that says the same.
using Flag = std::pair<std::string, std::string>;

// The flag and variable of each key that has one, in the order of --help.
std::vector<KeyFlag> key_flags();

// BATCHPROXY_LISTEN and its like. An empty variable counts as unset.
void apply_environment(const Environment& environment, Options& options, Findings& findings);

// {"--listen", "0.0.0.0:9000"} and its like; a later flag of the same name wins, but --backend
// adds.
void apply_flags(const std::vector<Flag>& flags, Options& options, Findings& findings);

// {"flush", "fixed"} and its like, by the names of keys: what is tried on a proxy that runs, over
// all else. Only what decides when requests leave, and with whom, may be tried.
void apply_trial(const std::vector<Flag>& trial, Options& options, Findings& findings);

// Words of a command line that are vLLM's, as {"--max-num-seqs", "64", "-tp", "2"}: as if they
// stood in vllm_args, for all engines.
void apply_engine_words(const std::vector<std::string>& words, Options& options,
                        Findings& findings);

}  // namespace batchproxy
