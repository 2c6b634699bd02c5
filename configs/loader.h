// configs/loader.h - file, flags and environment in; Options and everything wrong with them out.
//
// Precedence: flag > BATCHPROXY_* > file > VLLM_* > default. Nothing here throws for bad input, and
// nothing stops at the first mistake: one run reports them all.
//
// Threading: any thread; no state. Only collect_environment() looks at the process.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/schema/backend_source.h"
#include "configs/schema/options.h"
#include "configs/sources/overrides.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

struct LoadInputs {
  std::string file;                 // path of the file; empty means none
  std::optional<std::string> text;  // its content, instead of reading `file` (which still names it)
  std::vector<Flag> flags;
  Environment environment;
  std::vector<std::string> engine_words{};  // of vLLM's command line
  std::vector<Flag> trial{};                // keys by name, over all else: see apply_trial()
};

struct LoadResult {
  Options options;                      // complete only when ok()
  std::vector<Diagnostic> diagnostics;  // by line; those of flags and variables come last

  bool ok() const;            // no error among the diagnostics
  bool has_warnings() const;  // for `check --strict`
};

LoadResult load(const LoadInputs& inputs);

// The BATCHPROXY_*, VLLM_* and OTEL_* variables of this process.
Environment collect_environment();

}  // namespace batchproxy
