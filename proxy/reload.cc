// proxy/reload.cc - see reload.h.
#include "proxy/reload.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "configs/describe.h"
#include "configs/loader.h"

namespace batchproxy {

namespace {

// Where a process listens and what it has started stays.
bool needs_restart(std::string_view key) {
  constexpr std::array kKeys = {
      std::string_view("listen"),         std::string_view("admin"),
      std::string_view("io_threads"),     std::string_view("flush"),
      std::string_view("boot_local"),     std::string_view("enable_batching"),
      std::string_view("hf_model_id"),    std::string_view("model"),
      std::string_view("vllm_args"),      std::string_view("server_startup_timeout"),
      std::string_view("max_prompts"),    std::string_view("max_buffered_bytes"),
      std::string_view("max_connections")};
  return key.starts_with("launcher.") || key.starts_with("vllm_args.") ||
         std::ranges::find(kKeys, key) != kKeys.end();
}

}  // namespace

ReloadPlan plan_reload(const Options& current, const Options& wanted) {
  ReloadPlan plan{wanted, {}};
  // Engines that we have started stay, and so do servers that somebody else has.
  const bool starts = backend_source(current) == BackendSource::kLauncher;
  const bool would_start = backend_source(wanted) == BackendSource::kLauncher;
  Options& next = plan.options;
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
  for (const Change& change : changes_between(current, wanted)) {
    plan.lines.push_back(change.key + ": " + (change.from.empty() ? "none" : change.from) + " -> " +
                         (change.to.empty() ? "none" : change.to) +
                         (needs_restart(change.key) ? " (after a restart)" : ""));
  }
  return plan;
}

}  // namespace batchproxy
