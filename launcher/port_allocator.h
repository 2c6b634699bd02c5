// launcher/port_allocator.h - gives each engine a TCP port that no other engine will get.
//
// An engine binds its port early but listens only minutes later, and two engines can both bind the
// same port and find out at listen(). So a port that looks free is not enough: we also hold a lease
// on it that every batchproxy of this machine (and network namespace) respects.
//
// Threading: confined to one thread.
#pragma once

#include <vector>

#include "launcher/result.h"

namespace batchproxy {

// Holds an abstract unix socket named after the port; the kernel frees the name when we die.
class PortLease {
 public:
  // Nothing when another lease on `port` is held anywhere on this machine.
  static OrError<PortLease> take(int port);

  PortLease(PortLease&& other) noexcept;
  PortLease& operator=(PortLease&& other) noexcept;
  ~PortLease();

  int port() const { return port_; }

 private:
  PortLease(int port, int descriptor) : port_(port), descriptor_(descriptor) {}

  int port_ = 0;
  int descriptor_ = -1;
};

// Keeps the leases it gives out; keep it as long as the engines live.
class PortAllocator {
 public:
  explicit PortAllocator(int first_port) : next_(first_port) {}

  // The next free port from `first_port` upwards.
  OrError<int> take();

 private:
  int next_;
  std::vector<PortLease> leases_;
};

}  // namespace batchproxy
