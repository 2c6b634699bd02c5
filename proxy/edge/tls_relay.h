// proxy/edge/tls_relay.h - relay_plainly(): for those who take over a client's socket and know
// nothing of TLS: the service of files and batches.
//
// Threading: the connection's I/O thread.
#pragma once

#include "backends/net/connection.h"
#include "backends/net/descriptor.h"
#include "proxy/thread/io_thread.h"

namespace batchproxy {

// One end of a pair of sockets, whose other end the thread keeps and copies to and from `client`,
// until both have ended. Counts as a connection of the thread meanwhile. Empty when the system has
// no descriptors; then `client` is as it was.
Descriptor relay_plainly(IoThread& thread, const Connection::Ptr& client);

}  // namespace batchproxy
