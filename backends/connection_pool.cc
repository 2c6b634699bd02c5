// backends/connection_pool.cc - see connection_pool.h.
#include "backends/connection_pool.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

namespace batchproxy {

namespace {

constexpr Duration kDescriptorPause = std::chrono::milliseconds(20);

// Closes all of `idle`, and returns how many there were.
std::size_t close_all(std::vector<Connection::Ptr>& idle) {
  const auto closing = std::exchange(idle, {});
  for (const Connection::Ptr& connection : closing) connection->close();
  return closing.size();
}

}  // namespace

ConnectionPool::ConnectionPool(Poller& poller, DeadlineQueue& deadlines, Duration connect_timeout)
    : poller_(poller), deadlines_(deadlines), connect_timeout_(connect_timeout) {}

void ConnectionPool::set(std::shared_ptr<const Endpoint> endpoint) {
  const BackendId id = endpoint->id;
  if (id >= peers_.size()) peers_.resize(id + 1);
  close_all(peers_[id].idle);
  peers_[id].endpoint = std::move(endpoint);
}

Connection::Ptr ConnectionPool::take_idle(BackendId backend) {
  auto& idle = peers_[backend].idle;
  while (!idle.empty()) {
    Connection::Ptr connection = std::move(idle.back());
    idle.pop_back();
    connection->on_peer_gone(nullptr);
    connection->never_expire();
    // Bytes that nobody asked for would be taken for the next answer.
    if (!connection->has_unread()) return connection;
    connection->close();
  }
  return nullptr;
}

Connection::Ptr ConnectionPool::make() const {
  return std::make_shared<Connection>(poller_, deadlines_);
}

Task<ErrorCode> ConnectionPool::connect(BackendId backend, Connection& connection,
                                        TimePoint not_after) {
  connection.expire_at(std::min(not_after, std::chrono::steady_clock::now() + connect_timeout_));
  ErrorCode error;
  const asio::ip::tcp::endpoint address = peers_[backend].endpoint->address;
  while (true) {
    error = co_await connection.connect(address);
    // Without descriptors: that is not the backend's fault, and passes.
    if (error.value() != EMFILE && error.value() != ENFILE) break;
    close_idle();
    connection.expire_at(not_after);
    asio::steady_timer pause(poller_.executor(), kDescriptorPause);
    ErrorCode ignored;
    co_await pause.async_wait(asio::redirect_error(use_task, ignored));
    if (!connection.is_open()) break;
    connection.expire_at(std::min(not_after, std::chrono::steady_clock::now() + connect_timeout_));
  }
  if (!error && !connection.is_open()) error = asio::error::timed_out;
  if (error) {
    connection.close();
  } else {
    connection.never_expire();
  }
  co_return error;
}

std::size_t ConnectionPool::close_idle() {
  std::size_t closed = 0;
  for (Peer& peer : peers_) closed += close_all(peer.idle);
  return closed;
}

void ConnectionPool::give_back(BackendId backend, Connection::Ptr connection) {
  if (!connection->is_open()) return;
  Peer& peer = peers_[backend];
  Connection* raw = connection.get();
  peer.idle.push_back(connection);  // a copy: it may forget itself at once
  raw->expire_in(peer.endpoint->idle_time_to_live);
  raw->on_peer_gone([this, raw] { forget(raw); });
}

void ConnectionPool::forget(const Connection* gone) {
  for (Peer& peer : peers_) {
    std::erase_if(peer.idle, [gone](const Connection::Ptr& other) { return other.get() == gone; });
  }
}

}  // namespace batchproxy
