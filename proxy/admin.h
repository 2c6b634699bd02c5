// proxy/admin.h - the admin listener: /metrics, /status, /livez, /readyz.
//
// Threading: confined to the control thread.
#pragma once

#include <functional>

#include "backends/http/task.h"
#include "proxy/listener.h"
#include "proxy/snapshot.h"

namespace batchproxy {

using TakeSnapshot = std::function<Snapshot()>;

// Serves the admin port until the acceptor is closed.
Task<void> serve_admin(asio::io_context& io, Acceptor& acceptor, TakeSnapshot snapshot);

}  // namespace batchproxy
