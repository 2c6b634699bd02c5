// launcher/process/port_allocator.cc - tries one port after the other.
#include "launcher/process/port_allocator.h"

#include <cerrno>
#include <cstdint>
#include <string>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {
namespace {

constexpr int kLastPort = 65535;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Without SO_REUSEADDR, so that a port which another program has bound and will listen on later
// counts as taken.
bool can_bind(int port, PortAllocator::Where where) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  sockaddr_in address = loopback(port);
  if (where == PortAllocator::Where::kEverywhere) address.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool bound =
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(descriptor);
  return bound;
}

}  // namespace

// On the loopback device a connection is made or refused at once; one that is neither waits in a
// full backlog.
bool is_listened_to(int port) {
  constexpr int kAtOnce = 100;  // ms
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  if (errno != EINPROGRESS) return false;
  pollfd waiting{socket.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, kAtOnce) == 0) return true;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

bool PortAllocator::reserve(int port) {
  auto lease = Lease::take("port-" + std::to_string(port));
  if (!lease) return false;
  leases_.push_back(*std::move(lease));
  return true;
}

OrError<int> PortAllocator::take() {
  const int first = next_;
  while (next_ <= kLastPort) {
    const int port = next_++;
    if (can_bind(port, where_) && reserve(port)) return port;
  }
  return LaunchError{"no free port from " + std::to_string(first) +
                     " upwards on 127.0.0.1: lower batchproxy.launcher.port_base"};
}

}  // namespace batchproxy
