// configs/schema/backend_source.h - which of the three ways of naming engines the options use.
//
// Threading: pure function, any thread.
#pragma once

#include "configs/schema/options.h"

namespace batchproxy {

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
