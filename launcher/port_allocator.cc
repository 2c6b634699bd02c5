// launcher/port_allocator.cc - leases as names of abstract unix sockets.
#include "launcher/port_allocator.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace batchproxy {
namespace {

constexpr int kLastPort = 65535;

// Without SO_REUSEADDR, so that a port which another program has bound and will listen on later
// counts as taken.
bool can_bind(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool bound =
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(descriptor);
  return bound;
}

}  // namespace

OrError<PortLease> PortLease::take(int port) {
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0)
    return LaunchError{std::string("no socket for a port lease: ") + std::strerror(errno)};
  PortLease lease(port, descriptor);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "batchproxy-port-" + std::to_string(port);
  std::copy(name.begin(), name.end(), address.sun_path + 1);  // a leading NUL makes it abstract
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return LaunchError{"port " + std::to_string(port) +
                       " is taken by an engine of another batchproxy"};
  }
  return lease;
}

PortLease::PortLease(PortLease&& other) noexcept
    : port_(other.port_), descriptor_(std::exchange(other.descriptor_, -1)) {}

PortLease& PortLease::operator=(PortLease&& other) noexcept {
  std::swap(port_, other.port_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

PortLease::~PortLease() {
  if (descriptor_ >= 0) close(descriptor_);
}

OrError<int> PortAllocator::take() {
  const int first = next_;
  while (next_ <= kLastPort) {
    const int port = next_++;
    auto lease = PortLease::take(port);
    if (lease && can_bind(port)) {
      leases_.push_back(std::move(*lease));
      return port;
    }
  }
  return LaunchError{"no free port from " + std::to_string(first) +
                     " upwards on 127.0.0.1: lower batchproxy.launcher.port_base"};
}

}  // namespace batchproxy
