// proxy/control/topology.h - from options to the list of backends, and to the engines that must be
// started for them.
//
// Threading: start-up only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "configs/schema/host_port.h"
#include "configs/schema/options.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/process/engine_logs.h"
#include "launcher/process/kept_engine.h"
#include "launcher/process/lease.h"
#include "launcher/process/port_allocator.h"

namespace batchproxy {

// The leases that keep other programs off our ports, GPUs and logs while our engines live.
struct Holdings {
  PortAllocator ports;
  std::vector<Lease> gpus{};    // kept off them by a warning
  EngineLogs logs{};            // of open_logs()
  std::optional<Lease> kept{};  // on the engines of a log directory that go on without us
};

struct Topology {
  std::vector<BackendRecord> backends;  // by BackendId
  std::vector<EnginePlan> plans;        // what to start
  Gpus spare_gpus{};                    // that no plan has
  std::vector<KeptEngine> kept{};       // engines of an earlier batchproxy that run on
  Holdings holdings;
  std::vector<std::string> missing{};  // programs that were not found, and what to do
  std::vector<std::string> remarks{};  // "warning: ...": what may not have been meant
};

// Or sentences that say what to change. `self` is the path of our own program. What is missing to
// run the engines' programs is in Topology::missing, since a dry run can do without.
using TopologyOrErrors = boost::system::result<Topology, std::vector<std::string>>;
TopologyOrErrors make_topology(const Options& options, const std::string& self);

// Opens the log files of the plans, before anything is started. Returns why it cannot, or "".
std::string open_logs(const Options& options, std::vector<EnginePlan>& plans, Holdings& holdings);

// Where an engine of another node is, as soon as its agent has told; and before.
Endpoint placed_endpoint(Endpoint endpoint, const HostPort& address);
Endpoint unplaced_endpoint(Endpoint endpoint);

// The backends that run already, in the order of the options. Throws std::runtime_error.
std::vector<BackendRecord> running_servers(const Options& options);

}  // namespace batchproxy
