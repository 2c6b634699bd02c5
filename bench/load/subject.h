// bench/load/subject.h - Subject: what a load run asks: which model, behind which proxy, on which
// engines; and what these count.
//
// Threading: confined to the client's event loop.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/load/client.h"
#include "bench/results/fleet_counts.h"
#include "bench/results/record.h"

namespace batchproxy::bench {

// The server cannot be asked at all; the text says why, and what to do.
class UnusableServer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Subject {
  BackendId server = 0;
  std::optional<BackendId> admin{};  // of the proxy
  std::vector<BackendId> engines{};  // whose /metrics are read
  std::string model{};
  bool simulated = false;  // any engine
  Facts facts{};
};

// Asks the server, and the admin address of the proxy if `subject` has one. `model` empty: the
// first that is served. Throws UnusableServer.
Task<void> look_at(LoadClient& client, std::string model, Subject& subject);

// What the proxy and its engines have counted so far; nothing when none of them tells.
Task<std::optional<FleetCounts>> count_fleet(LoadClient& client, const Subject& subject);

}  // namespace batchproxy::bench
