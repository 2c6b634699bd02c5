// backends/call/control_stream.cc - see control_stream.h.
#include "backends/call/control_stream.h"

#include <boost/asio/redirect_error.hpp>

namespace batchproxy {

Task<ErrorCode> connect_in_turn(ControlStream& stream, Addresses addresses, Duration patience) {
  const TimePoint end = std::chrono::steady_clock::now() + patience;
  ErrorCode failure = asio::error::host_not_found;
  for (std::size_t tried = 0; tried < addresses.size(); ++tried) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (tried > 0 && now >= end) break;
    stream.expires_at(now + share_of(end - now, addresses.size() - tried));
    ErrorCode error;
    co_await stream.async_connect(addresses[tried], asio::redirect_error(use_task, error));
    if (!error) {
      stream.expires_at(end);
      co_return error;
    }
    stream.close();
    if (tried == 0) failure = error;
  }
  co_return failure;
}

}  // namespace batchproxy
