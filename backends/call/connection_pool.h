// backends/call/connection_pool.h - ConnectionPool: one I/O thread's keep-alive connections to
// backends.
//
// Threading: confined to one I/O thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/names/endpoint.h"
#include "backends/net/connection.h"

namespace batchproxy {

class ConnectionPool {
 public:
  ConnectionPool(Poller& poller, DeadlineQueue& deadlines, Duration connect_timeout);

  // Introduces a backend, or puts another in its place: with its calls, unless it is another
  // server. Kept connections to addresses that it has not are of no more use.
  void set(std::shared_ptr<const Endpoint> endpoint);

  // The idle connection used last (it is the likeliest to be alive), or null. Nothing is known to be
  // unread on it, nor its peer to have left.
  Connection::Ptr take_idle(BackendId backend);

  // A connection that is not connected yet, and the way to connect it, within connect_timeout and
  // before `not_after`: to the address that worked last, or else to the backend's others in turn.
  // The error is that of the first. In two steps so that the caller can close it meanwhile.
  Connection::Ptr make() const;
  Task<ErrorCode> connect(BackendId backend, Connection& connection, TimePoint not_after);

  // Gives their descriptors back. Returns how many there were.
  std::size_t close_idle();

  // Keeps `connection` for the next call. It must be between two answers, and no more bytes may be
  // expected on it: the next call may be made before they are seen.
  void give_back(BackendId backend, Connection::Ptr connection);

  void set_connect_timeout(Duration timeout) { connect_timeout_ = timeout; }
  const std::shared_ptr<const Endpoint>& endpoint(BackendId backend) const {
    return peers_[backend].endpoint;
  }

  // A kept connection turned out to be dead when it was used, and was replaced.
  void count_stale() { stale_.store(stale() + 1, std::memory_order_relaxed); }
  // Threading: any thread.
  std::uint64_t stale() const { return stale_.load(std::memory_order_relaxed); }

 private:
  struct Peer {
    std::shared_ptr<const Endpoint> endpoint;
    std::vector<Connection::Ptr> idle;
    asio::ip::tcp::endpoint worked;   // the last time
    std::uint32_t changes = 0;        // of its endpoint; a connection's mark says which it was for
    std::uint32_t trusted_since = 0;  // the change since which TLS is as now
  };

  TimePoint end_of_connecting(TimePoint not_after) const;
  Task<void> await_descriptor(Connection& connection, TimePoint not_after);
  static bool leads_to(const Connection& connection, const Peer& peer);
  void forget(const Connection* gone);

  Poller& poller_;
  DeadlineQueue& deadlines_;
  Duration connect_timeout_;
  std::vector<Peer> peers_;
  std::atomic<std::uint64_t> stale_{0};
};

}  // namespace batchproxy
