// proxy/edge/tls_relay.cc - see tls_relay.h.
#include "proxy/edge/tls_relay.h"

#include <array>
#include <memory>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <sys/socket.h>

namespace batchproxy {

namespace {

constexpr Duration kLinger = std::chrono::seconds(2);

struct Relay {
  Relay(IoThread& its_thread, Connection::Ptr its_client, Connection::Ptr its_service)
      : thread(its_thread), client(std::move(its_client)), service(std::move(its_service)) {
    thread.metrics.connections.add();
  }
  ~Relay() { thread.metrics.connections.sub(); }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  IoThread& thread;
  const Connection::Ptr client;
  const Connection::Ptr service;
};
using RelayPtr = std::shared_ptr<const Relay>;

// `from` and `to` are the relay's.
Task<void> copy(RelayPtr relay, Connection* from, Connection* to) {
  Buffer buffer = relay->thread.net.buffers.take();
  bool goes_on = true;
  while (goes_on) {
    if (from->must_wait()) co_await from->wait();
    if (!from->may_read()) break;
    buffer.clear();
    const auto read = from->read_some(buffer.spare());
    if (!read) break;
    buffer.commit(*read);
    goes_on = co_await to->write(buffer.view(), relay->thread.settings.write_stall);
  }
  to->close_lingering(kLinger);
  relay->thread.net.buffers.give_back(std::move(buffer));
}

}  // namespace

Descriptor relay_plainly(IoThread& thread, const Connection::Ptr& client) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Descriptor();
  }
  Descriptor theirs(ends[0]);
  auto service = std::make_shared<Connection>(thread.net.poller, thread.net.deadlines);
  if (service->start(ends[1])) return Descriptor();
  client->never_expire();
  const auto relay = std::make_shared<const Relay>(thread, client, std::move(service));
  const auto executor = thread.net.io.get_executor();
  asio::co_spawn(executor, copy(relay, relay->client.get(), relay->service.get()), asio::detached);
  asio::co_spawn(executor, copy(relay, relay->service.get(), relay->client.get()), asio::detached);
  return theirs;
}

}  // namespace batchproxy
