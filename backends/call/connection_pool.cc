// backends/call/connection_pool.cc - see connection_pool.h.
#include "backends/call/connection_pool.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

namespace batchproxy {

namespace {

constexpr Duration kDescriptorPause = std::chrono::milliseconds(20);

// The system has no descriptor for a connection.
bool is_scarcity(const ErrorCode& error) {
  return error.value() == EMFILE || error.value() == ENFILE;
}

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
  Peer& peer = peers_[id];
  if (peer.endpoint) ++peer.changes;
  const bool is_trusted_alike = peer.endpoint && peer.endpoint->tls == endpoint->tls &&
                                peer.endpoint->server_name == endpoint->server_name;
  if (!is_trusted_alike) peer.trusted_since = peer.changes;
  peer.endpoint = std::move(endpoint);
  for (Connection::Ptr& connection : std::exchange(peer.idle, {})) {
    if (leads_to(*connection, peer)) {
      connection->set_mark(peer.changes);
      peer.idle.push_back(std::move(connection));
    } else {
      connection->close();
    }
  }
}

bool ConnectionPool::leads_to(const Connection& connection, const Peer& peer) {
  return connection.mark() >= peer.trusted_since &&
         contains(peer.endpoint->addresses, connection.peer());
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

TimePoint ConnectionPool::end_of_connecting(TimePoint not_after) const {
  return std::min(not_after, std::chrono::steady_clock::now() + connect_timeout_);
}

Task<ErrorCode> ConnectionPool::connect(BackendId backend, Connection& connection,
                                        TimePoint not_after) {
  // Copies: others may take their places meanwhile.
  connection.set_mark(peers_[backend].changes);
  const std::shared_ptr<const Endpoint> endpoint = peers_[backend].endpoint;
  const Addresses addresses = beginning_with(peers_[backend].worked, endpoint->addresses);
  TimePoint end = end_of_connecting(not_after);
  ErrorCode failure = asio::error::host_not_found;
  for (std::size_t tried = 0; tried < addresses.size() && connection.is_open();) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (tried > 0 && now >= end) break;
    connection.stop_connecting_at(now + share_of(end - now, addresses.size() - tried));
    ErrorCode error = co_await connection.connect(addresses[tried]);
    if (!error && endpoint->tls && connection.is_open()) {
      connection.secure(*endpoint->tls, endpoint->server_name);
      connection.stop_reading_at(end);
      const bool met = co_await connection.shake_hands();
      if (!met) error = asio::error::connection_aborted;
    }
    if (!error && connection.is_open()) {
      connection.never_expire();
      peers_[backend].worked = addresses[tried];
      co_return error;
    }
    if (tried == 0) failure = error ? error : asio::error::timed_out;
    if (is_scarcity(error)) {
      co_await await_descriptor(connection, not_after);
      end = end_of_connecting(not_after);
    } else {
      ++tried;
    }
  }
  connection.close();
  co_return failure;
}

// Without descriptors: that is not the backend's fault, and passes.
Task<void> ConnectionPool::await_descriptor(Connection& connection, TimePoint not_after) {
  close_idle();
  connection.expire_at(not_after);
  asio::steady_timer pause(poller_.executor(), kDescriptorPause);
  ErrorCode ignored;
  co_await pause.async_wait(asio::redirect_error(use_task, ignored));
}

std::size_t ConnectionPool::close_idle() {
  std::size_t closed = 0;
  for (Peer& peer : peers_) closed += close_all(peer.idle);
  return closed;
}

void ConnectionPool::give_back(BackendId backend, Connection::Ptr connection) {
  if (!connection->is_open()) return;
  Peer& peer = peers_[backend];
  if (connection->mark() != peer.changes) {
    if (!leads_to(*connection, peer)) return connection->close();
    connection->set_mark(peer.changes);
  }
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
