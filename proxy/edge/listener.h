// proxy/edge/listener.h - the data port: one listening socket, accepted on by every I/O thread.
//
// Each thread waits on its own duplicate of the one socket. SO_REUSEPORT is not used on purpose: it
// would let a second proxy share the port silently.
//
// Threading: listen_on() and duplicate() are start-up only; accept_clients() runs on its I/O
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/ip/tcp.hpp>

#include "batcher/base/error.h"
#include "proxy/thread/io_thread.h"

namespace batchproxy {

using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, IoExecutor>;

// Binds and listens; throws std::runtime_error that names `flag` when the address is not to be had.
// Where the port is free to choose (0), one that `may_have` declines is not taken.
using MayHave = std::function<bool(std::uint16_t port)>;
Acceptor listen_on(asio::io_context& io, const std::string& host_port, const std::string& flag,
                   const MayHave& may_have);

// Another acceptor for the same socket, on another thread's io_context.
Acceptor duplicate(Acceptor& acceptor, asio::io_context& io);

// What to do when accept() fails, as it does without descriptors: let some connections end before
// asking again, instead of spinning.
Task<void> pause_accepting(asio::io_context& io);

// Accepts clients until the acceptor is closed, and serves each in a session of its own. They speak
// TLS if there is a certificate, unless they are `plain`.
Task<void> accept_clients(IoThread& thread, Acceptor& acceptor, bool plain = false);

// Closes the acceptor so that no client is reset: nobody can begin to connect from now on, and who
// had begun is accepted first. A client that knocks meanwhile is answered when it knocks again: by
// the next process, or by a refusal. accept_clients() goes on until then.
Task<void> stop_accepting(asio::io_context& io, Acceptor& acceptor);

}  // namespace batchproxy
