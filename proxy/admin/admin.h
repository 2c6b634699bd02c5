// proxy/admin/admin.h - the admin listener: /metrics, /status, /livez, /readyz; /ui, a page that
// shows all of it, and /ui/events, the stream that it lives on; /admin/requests, the requests that
// ended last; /admin/config; POST /admin/reload and /admin/drain; POST /v1/load_lora_adapter and
// /v1/unload_lora_adapter for all engines at once.
//
// Threading: confined to the control thread.
#pragma once

#include <functional>
#include <vector>

#include "backends/net/task.h"
#include "backends/net/tls.h"
#include "configs/sources/overrides.h"
#include "proxy/admin/adapter_report.h"
#include "proxy/control/engine_orders.h"
#include "proxy/control/reload.h"
#include "proxy/edge/listener.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/trace/record_search.h"
#include "proxy/ui/status_feed.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {

struct AdminHooks {
  std::function<Snapshot()> snapshot;
  // `trial`: keys by name that count until the next reload.
  std::function<ReloadReport(const std::vector<Flag>& trial)> reload;
  std::function<void()> drain;  // and exit
  std::function<Result<std::string>(const EngineOrder&)> order_engine;
  std::function<Task<AdapterReport>(AdapterOrder)> adapters;
  std::function<Task<std::vector<RequestRecord>>(RecordSearch)> search;
  std::function<std::string()> config;  // what is in force, as JSON
  StatusFeed* feed = nullptr;           // of /ui/events; outlives all sessions
  bool loopback = true;                 // the address is one
  // Of whoever connects now; null: they are plain.
  std::function<TlsContextPtr()> tls;
  // The keys of whoever may ask; null: anyone may. Not for /livez, which tells nothing.
  std::function<ApiKeysPtr()> keys;
};

// The requests that failed and those that took longest, as the page at /ui shows them: JSON.
Task<std::string> requests_for_page(
    std::function<Task<std::vector<RequestRecord>>(RecordSearch)> search);

// Serves the admin port until the acceptor is closed. Of more connections than a few hundred the
// last are told 503: its descriptors are the clients', too.
Task<void> serve_admin(asio::io_context& io, Acceptor& acceptor, AdminHooks hooks);

}  // namespace batchproxy
