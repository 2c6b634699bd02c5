// configs/schema/backend_source.cc - the order in which the three ways are looked at.
#include "configs/schema/backend_source.h"

namespace batchproxy {

BackendSource backend_source(const Options& options) {
  const WorkerOptions& worker = options.worker;
  if (!options.proxy.backends.value.empty()) return BackendSource::kList;
  if (worker.boot_local.value) return BackendSource::kLauncher;
  const bool given = !options.file.empty() || worker.server.is_set() || worker.port.is_set();
  return given ? BackendSource::kServerAndPort : BackendSource::kNone;
}

}  // namespace batchproxy
