// backends/http/waiter.h - Waiter: where one coroutine sleeps until somebody wakes it.
//
// Holds the coroutine's own handler, of its concrete type: sleeping allocates nothing.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include "backends/http/task.h"

namespace batchproxy {

class Waiter {
 public:
  bool is_waiting() const { return handler_.has_value(); }

  // Sleeps until a wake. One coroutine at a time.
  Task<void> wait() {
    auto store = [this](auto&& handler) { handler_.emplace(std::move(handler)); };
    return asio::async_initiate<const asio::use_awaitable_t<IoExecutor>, void()>(store, use_task);
  }

  // Runs the sleeper now, until it suspends again or ends; nothing if nobody sleeps.
  void wake() {
    if (!handler_) return;
    Handler handler = std::move(*handler_);
    handler_.reset();
    std::move(handler)();
  }

  // Runs the sleeper from the event loop: for callers that must not find its work done on return.
  void wake_later(const IoExecutor& executor) {
    if (!handler_) return;
    Handler handler = std::move(*handler_);
    handler_.reset();
    asio::post(executor, std::move(handler));
  }

 private:
  using Handler = asio::async_result<asio::use_awaitable_t<IoExecutor>, void()>::handler_type;

  std::optional<Handler> handler_;
};

}  // namespace batchproxy
