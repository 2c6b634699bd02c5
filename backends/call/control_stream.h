// backends/call/control_stream.h - ControlStream: the control thread's own connections to backends,
// for probes and orders. Clients' requests go through ConnectionPool.
//
// Threading: the io_context's own thread.
#pragma once

#include <boost/beast/core/tcp_stream.hpp>

#include "backends/names/addresses.h"
#include "backends/net/task.h"

namespace batchproxy {

using ControlStream = boost::beast::basic_stream<asio::ip::tcp, IoExecutor>;

// Tries the addresses in turn; the error is that of the first. What follows on the stream, too,
// must end within `patience` of this call.
Task<ErrorCode> connect_in_turn(ControlStream& stream, Addresses addresses, Duration patience);

}  // namespace batchproxy
