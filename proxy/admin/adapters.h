// proxy/admin/adapters.h - gives an order about a LoRA adapter to all engines that are up, at once,
// and waits until requests are routed by what has come of it.
//
// Threading: confined to the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "backends/net/task.h"
#include "backends/roster.h"
#include "proxy/admin/adapter_report.h"

namespace batchproxy {

struct AdapterHooks {
  std::function<RosterPtr()> roster;  // as it is, with what was last read
  // Has what the engines serve read again: see BackendMonitor::refresh_models().
  std::function<void(std::function<void()>)> refresh_models;
  // A backend serves it no more, as far as is known.
  std::function<void(BackendId, std::string_view model)> forget_model;
};

// Takes as long as the slowest engine, two minutes at most, and the look at what they serve then.
// `io` and what the hooks refer to must outlive it.
Task<AdapterReport> carry_out(asio::io_context& io, const AdapterHooks& hooks, AdapterOrder order);

}  // namespace batchproxy
