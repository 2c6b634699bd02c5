// launcher/process/port_allocator.cc - tries one port after the other.
#include "launcher/process/port_allocator.h"

#include <cstdint>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
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
    if (can_bind(port) && reserve(port)) return port;
  }
  return LaunchError{"no free port from " + std::to_string(first) +
                     " upwards on 127.0.0.1: lower batchproxy.launcher.port_base"};
}

}  // namespace batchproxy
