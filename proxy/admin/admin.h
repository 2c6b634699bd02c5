// proxy/admin.h - the admin listener: /metrics, /status, /livez, /readyz; POST /admin/reload and
// /admin/drain; POST /v1/load_lora_adapter and /v1/unload_lora_adapter for all engines at once.
//
// Threading: confined to the control thread.
#pragma once

#include <functional>

#include "backends/http/task.h"
#include "proxy/adapter_report.h"
#include "proxy/api_keys.h"
#include "proxy/listener.h"
#include "proxy/reload.h"
#include "proxy/snapshot.h"

namespace batchproxy {

struct AdminHooks {
  std::function<Snapshot()> snapshot;
  std::function<ReloadReport()> reload;
  std::function<void()> drain;  // and exit
  std::function<Task<AdapterReport>(AdapterOrder)> adapters;
  // Who may ask; null: anyone. Not for /livez, which tells nothing.
  std::function<ApiKeysPtr()> keys;
};

// Serves the admin port until the acceptor is closed.
Task<void> serve_admin(asio::io_context& io, Acceptor& acceptor, AdminHooks hooks);

}  // namespace batchproxy
