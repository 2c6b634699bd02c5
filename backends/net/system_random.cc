// backends/net/system_random.cc - see system_random.h.
#include "backends/net/system_random.h"

#include <cerrno>
#include <system_error>

#include <sys/random.h>

namespace batchproxy {

std::uint64_t system_random() {
  std::uint64_t number = 0;
  // So few bytes come whole; only a signal early after boot may get in between.
  while (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "the kernel has no random numbers");
    }
  }
  return number;
}

}  // namespace batchproxy
