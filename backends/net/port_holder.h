// backends/net/port_holder.h - finds out which process listens on a TCP port of this machine.
//
// Threading: any thread; start-up only (it reads /proc).
#pragma once

#include <cstdint>
#include <string>

namespace batchproxy {

// "python3 (pid 123)", or an empty string when it cannot be found out: another user's process, or
// one in another container. `root` is where the kernel shows its processes.
std::string port_holder(std::uint16_t port, const std::string& root = "/proc");

}  // namespace batchproxy
