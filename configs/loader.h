// configs/loader.h - file, flags and environment in; Options and everything wrong with them out.
//
// Precedence: flag > BATCHPROXY_* > file > VLLM_* > default. Nothing here throws for bad input, and
// nothing stops at the first mistake: one run reports them all.
//
// Threading: any thread; no state. Only collect_environment() looks at the process.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "configs/options.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

using Environment = std::map<std::string, std::string>;

// A command-line flag that sets a key, as {"--listen", "0.0.0.0:9000"}. The key's row in options.h
// names it, and the variable that says the same.
using Flag = std::pair<std::string, std::string>;

struct LoadInputs {
  std::string file;                 // path of the file; empty means none
  std::optional<std::string> text;  // its content, instead of reading `file` (which still names it)
  std::vector<Flag> flags;
  Environment environment;
};

struct LoadResult {
  Options options;                      // complete only when ok()
  std::vector<Diagnostic> diagnostics;  // by line; those of flags and variables come last

  bool ok() const;            // no error among the diagnostics
  bool has_warnings() const;  // for `check --strict`
};

LoadResult load(const LoadInputs& inputs);

// The BATCHPROXY_* and VLLM_* variables of this process.
Environment collect_environment();

// Which way of naming engines the options use. An explicit list wins over starting
// engines, which wins over the worker file's `server` and `port`.
enum class BackendSource {
  kList,           // proxy.backends: --backend, BATCHPROXY_BACKENDS or batchproxy.backends
  kLauncher,       // boot_local: true; proxy.launcher.servers says how many
  kServerAndPort,  // http://{worker.server}:{worker.port}
  kNone,           // nothing was given; load() has reported an error
};

BackendSource backend_source(const Options& options);

}  // namespace batchproxy
