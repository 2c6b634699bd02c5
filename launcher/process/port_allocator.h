// launcher/process/port_allocator.h - gives each engine a TCP port that no other engine will get.
//
// An engine binds its port early but listens only minutes later, and two engines can both bind the
// same port and find out at listen(). So a port that looks free is not enough: we also hold a lease
// on it that every batchproxy of this machine (and network namespace) respects.
//
// Threading: confined to one thread.
#pragma once

#include <vector>

#include "launcher/base/result.h"
#include "launcher/process/lease.h"

namespace batchproxy {

// Whether anybody takes connections at `port` of this machine now.
bool is_listened_to(int port);

// Keeps the leases it gives out; keep it as long as the engines live.
class PortAllocator {
 public:
  // Free on 127.0.0.1, or on every address of IPv4.
  enum class Where { kLoopback, kEverywhere };

  explicit PortAllocator(int first_port, Where where = Where::kLoopback)
      : next_(first_port), where_(where) {}

  // The next free port from `first_port` upwards.
  OrError<int> take();

  // Keeps `port` for something else of ours. False when it has been given to an engine, of ours or
  // of another batchproxy.
  bool reserve(int port);

 private:
  int next_;
  Where where_;
  std::vector<Lease> leases_;
};

}  // namespace batchproxy
