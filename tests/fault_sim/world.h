// tests/fault_sim/world.h - one history: clients, the proxy's cores, servers and everything that
// can go wrong with them, all of it from one seed.
//
// Threading: test code, one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace batchproxy::fault_sim {

// What happened, so that a test can see that the histories are not empty.
struct Tally {
  std::uint64_t requests = 0, ok = 0, retried = 0, suspects = 0, cancelled = 0, crashes = 0,
                reloads = 0, drains = 0, beside = 0, merged = 0, split = 0;
  void add(const Tally& other);
};

// How many servers there are, of which reloads choose, and how many clients at most.
struct Scale {
  std::size_t servers = 6;
  std::uint32_t clients = 12;
};

// Throws Violation. `trace`: tells the history on stdout.
Tally live_through(std::uint64_t seed, bool trace, Scale scale = {});

}  // namespace batchproxy::fault_sim
