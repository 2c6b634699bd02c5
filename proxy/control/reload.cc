// proxy/control/reload.cc - see reload.h.
#include "proxy/control/reload.h"

#include <algorithm>

#include "configs/describe.h"
#include "configs/loader.h"

namespace batchproxy {

ReloadPlan plan_reload(const Options& current, const Options& wanted) {
  ReloadPlan plan{wanted, {}};
  // Engines that we have started stay, and so do servers that somebody else has.
  const bool starts = backend_source(current) == BackendSource::kLauncher;
  const bool would_start = backend_source(wanted) == BackendSource::kLauncher;
  Options& next = plan.options;
  // Where a process listens and what it has started stays.
  next.proxy.listen = current.proxy.listen;
  next.proxy.admin = current.proxy.admin;
  next.proxy.io_threads = current.proxy.io_threads;
  next.proxy.flush = current.proxy.flush;
  next.proxy.max_prompts = current.proxy.max_prompts;
  next.proxy.max_buffered_bytes = current.proxy.max_buffered_bytes;
  next.proxy.max_connections = current.proxy.max_connections;
  next.proxy.launcher = current.proxy.launcher;
  // With servers of somebody else's this only says whose key there is.
  if (starts || would_start) next.worker.boot_local = current.worker.boot_local;
  next.worker.enable_batching = current.worker.enable_batching;
  next.worker.hf_model_id = current.worker.hf_model_id;
  next.worker.model = current.worker.model;
  next.worker.vllm_args = current.worker.vllm_args;
  next.worker.server_startup_timeout = current.worker.server_startup_timeout;
  if (starts != would_start) {
    next.proxy.backends = current.proxy.backends;
    next.worker.server = current.worker.server;
    next.worker.port = current.worker.port;
    next.worker.api_key = current.worker.api_key;
    plan.lines.push_back(
        "engines that are started and servers that run already cannot take each other's place "
        "without a restart");
  }
  const std::vector<Change> left = changes_between(next, wanted);
  for (const Change& change : changes_between(current, wanted)) {
    const bool waits = std::ranges::find(left, change.key, &Change::key) != left.end();
    plan.lines.push_back(change.key + ": " + (change.from.empty() ? "none" : change.from) + " -> " +
                         (change.to.empty() ? "none" : change.to) +
                         (waits ? " (after a restart)" : ""));
  }
  return plan;
}

}  // namespace batchproxy
