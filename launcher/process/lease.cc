// launcher/process/lease.cc - names of abstract unix sockets.
#include "launcher/process/lease.h"

#include <algorithm>
#include <cstddef>

#include <sys/socket.h>
#include <sys/un.h>

namespace batchproxy {

std::optional<Lease> Lease::take(const std::string& name) {
  Descriptor held(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string full = "batchproxy-" + name;
  std::copy(full.begin(), full.end(), address.sun_path + 1);  // a leading NUL makes it abstract
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + full.size());
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  if (held.get() < 0 || ::bind(held.get(), generic, length) != 0) return std::nullopt;
  return Lease(std::move(held));
}

}  // namespace batchproxy
