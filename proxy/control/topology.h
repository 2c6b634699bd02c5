// proxy/control/topology.h - from options to the list of backends, and to the engines that must be
// started for them.
//
// Threading: start-up only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/endpoint.h"
#include "configs/options.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/process/engine_logs.h"
#include "launcher/process/lease.h"
#include "launcher/process/port_allocator.h"

namespace batchproxy {

// A backend and what people are told about it.
struct BackendSite {
  std::shared_ptr<const Endpoint> endpoint;
  std::uint32_t max_num_seqs = 256;
  std::string gpus{};                 // "0,1"; empty when we did not start it
  std::vector<std::string> models{};  // names that it is known to serve before it says so
  bool simulated = false;
};

struct Topology {
  std::vector<BackendSite> sites;      // by BackendId
  std::vector<EnginePlan> plans;       // what to start; plan i becomes site i
  PortAllocator ports;                 // holds the engines' ports while they live
  std::vector<std::string> missing{};  // programs that were not found, and what to do
  std::vector<std::string> remarks{};  // "warning: ...": what may not have been meant
  std::vector<Lease> gpus{};           // keeps other batchproxys off them, by warning these
  EngineLogs logs{};                   // of open_logs()
};

// Or sentences that say what to change. `self` is the path of our own program. What is missing to
// run the engines' programs is in Topology::missing, since a dry run can do without.
using TopologyOrErrors = boost::system::result<Topology, std::vector<std::string>>;
TopologyOrErrors make_topology(const Options& options, const std::string& self);

// Opens the log files of the plans, before anything is started. Returns why it cannot, or "".
std::string open_logs(const Options& options, Topology& topology);

// The backends that run already, in the order of the options. Throws std::runtime_error.
std::vector<BackendSite> running_servers(const Options& options);

// Our own environment, as engines may inherit it.
Environment process_environment();

}  // namespace batchproxy
