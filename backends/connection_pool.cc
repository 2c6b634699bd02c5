// backends/connection_pool.cc - see connection_pool.h.
#include "backends/connection_pool.h"

#include <algorithm>
#include <utility>

#include <boost/asio/redirect_error.hpp>

namespace batchproxy {

ConnectionPool::ConnectionPool(asio::io_context& io, DeadlineQueue& deadlines,
                               Duration connect_timeout)
    : io_(io), deadlines_(deadlines), connect_timeout_(connect_timeout) {}

void ConnectionPool::set(std::shared_ptr<const Endpoint> endpoint) {
  const BackendId id = endpoint->id;
  if (id >= peers_.size()) peers_.resize(id + 1);
  // Closing one makes it take itself off the list.
  for (const auto idle = std::exchange(peers_[id].idle, {}); const auto& connection : idle) {
    connection->close();
  }
  peers_[id].endpoint = std::move(endpoint);
}

Connection::Ptr ConnectionPool::take_idle(BackendId backend) {
  auto& idle = peers_[backend].idle;
  while (!idle.empty()) {
    Connection::Ptr connection = std::move(idle.back());
    idle.pop_back();
    connection->on_peer_gone(nullptr);
    connection->never_expire();
    if (!connection->has_unread()) return connection;
    connection->close();
  }
  return nullptr;
}

Connection::Ptr ConnectionPool::make() const {
  return std::make_shared<Connection>(Connection::Socket(io_.get_executor()), deadlines_);
}

Task<ErrorCode> ConnectionPool::connect(BackendId backend, Connection& connection,
                                        TimePoint not_after) {
  connection.expire_at(std::min(not_after, std::chrono::steady_clock::now() + connect_timeout_));
  ErrorCode error;
  co_await connection.socket().async_connect(peers_[backend].endpoint->address,
                                             asio::redirect_error(use_task, error));
  if (!error && !connection.is_open()) error = asio::error::timed_out;
  if (error) {
    connection.close();
  } else {
    connection.never_expire();
    connection.start();
  }
  co_return error;
}

void ConnectionPool::give_back(BackendId backend, Connection::Ptr connection) {
  // Bytes that nobody asked for would be taken for the next answer.
  if (!connection->is_open() || connection->has_unread()) return connection->close();
  Peer& peer = peers_[backend];
  Connection* raw = connection.get();
  auto forget = [this, backend, raw] {
    std::erase_if(peers_[backend].idle,
                  [raw](const Connection::Ptr& other) { return other.get() == raw; });
  };
  peer.idle.push_back(std::move(connection));
  raw->expire_in(peer.endpoint->idle_time_to_live);
  raw->on_peer_gone(forget);
}

}  // namespace batchproxy
