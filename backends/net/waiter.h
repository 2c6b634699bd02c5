// backends/net/waiter.h - Waiter: where one coroutine sleeps until somebody wakes it.
//
// Holds the coroutine's own handler, of its concrete type, and needs no coroutine of its own:
// sleeping allocates nothing.
//
// The handler's type is Asio's own (asio::detail): a Boost that renames it fails to compile here.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>

#include "backends/net/task.h"

namespace batchproxy {

class Waiter {
 public:
  bool is_waiting() const { return handler_.has_value(); }

  // To be awaited at once: sleeps until a wake. One coroutine at a time.
  auto wait() {
    auto store = [this](auto&& handler) { handler_.emplace(std::move(handler)); };
    return asio::async_initiate<const asio::deferred_t&, void()>(store, asio::deferred);
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
  using Handler = asio::detail::awaitable_async_op_handler<void(), IoExecutor>;

  std::optional<Handler> handler_;
};

}  // namespace batchproxy
