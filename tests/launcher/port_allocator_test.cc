// tests/launcher/port_allocator_test.cc - no port is given out twice.
#include "launcher/port_allocator.h"

#include <filesystem>
#include <optional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {
namespace {

// A port of 127.0.0.1 that some program has bound, and, like a loading engine, does not listen on.
class BoundPort {
 public:
  BoundPort() : descriptor_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    bind(descriptor_, generic, size);
    getsockname(descriptor_, generic, &size);
    port_ = ntohs(address.sin_port);
  }
  BoundPort(const BoundPort&) = delete;
  BoundPort& operator=(const BoundPort&) = delete;
  ~BoundPort() { close(descriptor_); }

  int port() const { return port_; }

 private:
  int descriptor_;
  int port_ = 0;
};

// Ours alone, beyond all real ports: other tests and batchproxies of this machine hold leases too.
const int kPort = 1'000'000 + 2 * getpid();

TEST(PortLease, IsExclusiveUntilItIsDropped) {
  std::optional<PortLease> held(*PortLease::take(kPort));
  EXPECT_FALSE(PortLease::take(kPort));
  EXPECT_TRUE(PortLease::take(kPort + 1));
  held.reset();
  EXPECT_TRUE(PortLease::take(kPort));
}

TEST(PortLease, MovesWithItsReservation) {
  auto first = PortLease::take(kPort);
  const PortLease second = std::move(*first);
  EXPECT_EQ(second.port(), kPort);
  EXPECT_FALSE(PortLease::take(kPort));
}

TEST(PortLease, IsNotInheritedByOtherPrograms) {
  const auto lease = PortLease::take(kPort);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    const std::string target = std::filesystem::read_symlink(entry.path()).string();
    if (target.rfind("socket:", 0) == 0) {
      EXPECT_TRUE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC) << target;
    }
  }
}

TEST(PortAllocator, GivesDifferentPortsUpwards) {
  PortAllocator ports(21000);
  const int first = *ports.take();
  EXPECT_GE(first, 21000);
  EXPECT_GT(*ports.take(), first);
}

TEST(PortAllocator, SkipsAPortThatIsBoundThoughNobodyListens) {
  const BoundPort taken;
  PortAllocator ports(taken.port());
  EXPECT_GT(*ports.take(), taken.port());
}

TEST(PortAllocator, TwoNeverGiveTheSamePort) {
  PortAllocator one(22000);
  PortAllocator other(22000);
  EXPECT_NE(*one.take(), *other.take());
}

TEST(PortAllocator, SaysWhenNoneIsLeft) {
  const auto last = PortLease::take(65535);
  PortAllocator ports(65535);
  const auto port = ports.take();
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().text,
            "no free port from 65535 upwards on 127.0.0.1: lower batchproxy.launcher.port_base");
}

}  // namespace
}  // namespace batchproxy
