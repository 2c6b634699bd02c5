// backends/connection_pool.h - ConnectionPool: one I/O thread's keep-alive connections to backends.
//
// Threading: confined to one I/O thread.
#pragma once

#include <vector>

#include "backends/endpoint.h"
#include "backends/http/connection.h"

namespace batchproxy {

class ConnectionPool {
 public:
  ConnectionPool(asio::io_context& io, DeadlineQueue& deadlines, Duration connect_timeout);

  // Start-up only. Endpoint ids are dense from 0.
  void add(const Endpoint* endpoint);

  // The idle connection used last (it is the likeliest to be alive), or null. It has nothing unread
  // and its peer had not left a moment ago.
  Connection::Ptr take_idle(BackendId backend);

  // A connection that is not connected yet, and the way to connect it, within connect_timeout and
  // before `not_after`. In two steps so that the caller can close it meanwhile.
  Connection::Ptr make() const;
  Task<ErrorCode> connect(BackendId backend, Connection& connection, TimePoint not_after);

  // Gives their descriptors back. Returns how many there were.
  std::size_t close_idle();

  // Keeps `connection` for the next call. It must be between two answers.
  void give_back(BackendId backend, Connection::Ptr connection);

  const Endpoint& endpoint(BackendId backend) const { return *peers_[backend].endpoint; }

 private:
  struct Peer {
    const Endpoint* endpoint;
    std::vector<Connection::Ptr> idle;
  };

  asio::io_context& io_;
  DeadlineQueue& deadlines_;
  const Duration connect_timeout_;
  std::vector<Peer> peers_;
};

}  // namespace batchproxy
