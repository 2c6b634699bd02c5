// tests/launcher/process/port_allocator_test.cc - no port is given out twice.
#include "launcher/process/port_allocator.h"

#include <string>

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

TEST(PortAllocator, NeverGivesWhatIsReserved) {
  PortAllocator ports(23000);
  const int first = *ports.take();
  EXPECT_FALSE(ports.reserve(first));
  EXPECT_TRUE(ports.reserve(first + 1));
  EXPECT_GT(*ports.take(), first + 1);
}

TEST(PortAllocator, SaysWhenNoneIsLeft) {
  const auto last = Lease::take("port-65535");
  PortAllocator ports(65535);
  const auto port = ports.take();
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().text,
            "no free port from 65535 upwards on 127.0.0.1: lower batchproxy.launcher.port_base");
}

TEST(PortAllocator, LooksAtEveryAddressWhereAnEngineMayHaveAnyOfThem) {
  // Of 127.0.0.0/8, which is all of this machine's, another one than the first.
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(descriptor, generic, size), 0);
  getsockname(descriptor, generic, &size);
  const int taken = ntohs(address.sin_port);
  PortAllocator everywhere(taken, PortAllocator::Where::kEverywhere);
  EXPECT_NE(*everywhere.take(), taken);
  PortAllocator here(taken);
  EXPECT_EQ(*here.take(), taken);
  close(descriptor);
}

}  // namespace
}  // namespace batchproxy
