// backends/net/task.h - the coroutine type of the data path, and the tokens that go with it.
//
// Executors are concrete (an io_context's own), not type-erased: that is measurably cheaper per
// operation, and every I/O thread has its own single-threaded io_context anyway.
//
// Threading: a Task runs on the io_context that it was spawned on.
#pragma once

#include <exception>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace batchproxy {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using IoExecutor = asio::io_context::executor_type;

template <class T>
using Task = asio::awaitable<T, IoExecutor>;

inline constexpr asio::use_awaitable_t<IoExecutor> use_task{};

// For co_spawn: an exception that leaves a coroutine leaves its loop's run(), too.
inline void end_on_error(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace batchproxy
