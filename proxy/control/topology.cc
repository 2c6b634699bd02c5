// proxy/control/topology.cc - see topology.h.
#include "proxy/control/topology.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "configs/engine_wish.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/host_port.h"
#include "configs/sources/environment.h"
#include "launcher/gpus/gpu_pool.h"
#include "launcher/gpus/inventory_reader.h"
#include "launcher/installation/vllm_installation.h"
#include "launcher/memory/gpu_order.h"
#include "launcher/placement/placements.h"
#include "launcher/plan/command_line.h"
#include "launcher/plan/executable.h"

namespace batchproxy {

namespace {

// Engines that we start are told to keep idle connections for 120 s (see
// launcher/plan/command_line.h).
constexpr Duration kOwnIdle = std::chrono::seconds(75);

std::optional<std::string> lookup(const Environment& environment, const std::string& name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::nullopt : std::optional(it->second);
}

// Of "HOST:PORT"; none for a name, which NameWatch looks up.
Addresses literal_address(const std::string& authority) {
  const auto at = parse_host_port(authority);
  if (!at || !is_address(at->host)) return {};
  return {{boost::asio::ip::make_address(at->host), at->port}};
}

Endpoint make_endpoint(std::size_t id, std::string name, std::string authority,
                       std::string api_key) {
  Endpoint endpoint;
  endpoint.id = static_cast<BackendId>(id);
  endpoint.addresses = literal_address(authority);
  endpoint.name = std::move(name);
  endpoint.authority = std::move(authority);
  endpoint.api_key = std::move(api_key);
  return endpoint;
}

BackendRecord running_server(std::size_t id, const std::string& authority, const std::string& key,
                             const BackendOptions& options) {
  BackendRecord backend;
  Endpoint endpoint = make_endpoint(id, authority, authority, key);
  endpoint.health_path = *options.health_path;
  backend.endpoint = std::make_shared<Endpoint>(std::move(endpoint));
  backend.traits.max_num_seqs = static_cast<std::uint32_t>(*options.max_num_seqs);
  backend.models = *options.models;
  return backend;
}

// One for each file of authorities: reading the system's takes a while.
class ClientContexts {
 public:
  // Throws std::runtime_error. `ca_file`: as in TlsContext::of_client().
  TlsContextPtr get(const std::string& url, const std::string& ca_file) {
    TlsContextPtr& made = made_[ca_file];
    if (made) return made;
    auto context = TlsContext::of_client(ca_file);
    if (!context) throw std::runtime_error(url + ": " + context.error());
    return made = *std::move(context);
  }

 private:
  std::map<std::string, TlsContextPtr> made_;
};

void secure(BackendRecord& backend, const HostPort& address, TlsContextPtr context) {
  Endpoint endpoint = *backend.endpoint;
  endpoint.tls = std::move(context);
  endpoint.server_name = address.host;
  backend.endpoint = std::make_shared<const Endpoint>(std::move(endpoint));
}

// No engine may get a port of ours. One that is picked at start is kept from them then.
void reserve_own_ports(const Options& options, PortAllocator& ports) {
  for (const std::string& address : {*options.proxy.listen, *options.proxy.admin}) {
    const auto own = parse_host_port(address);
    if (own && own->port != 0) ports.reserve(own->port);
  }
}

// A second batchproxy on them is warned, not refused: there may be room for both.
void lease_gpus(Topology& topology) {
  std::string taken;
  for (const EnginePlan& plan : topology.plans) {
    for (const Gpu& gpu : plan.gpus) {
      if (auto lease = Lease::take(lease_name(gpu))) {
        topology.holdings.gpus.push_back(*std::move(lease));
      } else {
        taken += (taken.empty() ? "" : ",") + gpu.name();
      }
    }
  }
  if (taken.empty()) return;
  topology.remarks.push_back("warning: another batchproxy has engines on GPU " + taken +
                             ", and these may not fit beside them: give each its own GPUs in "
                             "CUDA_VISIBLE_DEVICES");
}

// Those of an earlier batchproxy with the same log directory. Where they are not to be kept any
// more, they are in the way.
void find_kept(const Options& options, Topology& topology) {
  const LauncherOptions& launcher = options.proxy.launcher;
  if (*launcher.keep) {
    std::error_code ignored;
    const auto directory = std::filesystem::weakly_canonical(
        std::filesystem::absolute(*launcher.log_directory, ignored), ignored);
    const std::size_t hash = std::filesystem::hash_value(directory);
    topology.holdings.kept = Lease::take(fmt::format("kept-{:x}", hash));
    if (!topology.holdings.kept) {
      topology.remarks.push_back("warning: another batchproxy has the engines whose logs are in " +
                                 *launcher.log_directory + "; this one starts its own");
      return;
    }
  }
  topology.kept = find_kept_engines(*launcher.log_directory);
  if (topology.kept.empty()) return;
  if (*launcher.keep) {
    for (const KeptEngine& engine : topology.kept) topology.holdings.ports.reserve(engine.port);
    return;
  }
  topology.remarks.push_back(fmt::format(
      "warning: {} engines of an earlier batchproxy (launcher.keep) still run and hold their GPUs; "
      "`batchproxy stop` with the same configuration ends them",
      topology.kept.size()));
  topology.kept.clear();
}

// The version of vLLM that the engines will be; none when that cannot be told.
std::optional<Version> installed_vllm(const Options& options, const Environment& environment) {
  const LauncherOptions& launcher = options.proxy.launcher;
  if (*launcher.engine != "vllm") return std::nullopt;
  const auto found = find_installation(this_machine(environment), *launcher.executable);
  return found ? std::optional(found->version) : std::nullopt;
}

std::vector<std::string> add_engines(const Options& given, const std::string& self,
                                     Topology& topology) {
  Options options = given;
  reserve_own_ports(options, topology.holdings.ports);
  PlanContext context;
  context.inherited = process_environment();
  context.self_executable = self;
  context.run_id = std::to_string(::getpid());
  context.next_port = [&topology] { return topology.holdings.ports.take(); };
  find_kept(options, topology);
  context.kept_port = [&topology](const std::string& engine) -> std::optional<int> {
    const auto found = std::ranges::find(topology.kept, engine, &KeptEngine::name);
    return found == topology.kept.end() ? std::nullopt : std::optional(found->port);
  };
  context.vllm = installed_vllm(options, context.inherited);
  context.cores = std::thread::hardware_concurrency();
  if (needs_gpus(options)) {
    auto pool =
        find_gpus(asked_gpus(options), {lookup(context.inherited, "CUDA_VISIBLE_DEVICES"),
                                        lookup(context.inherited, "NVIDIA_VISIBLE_DEVICES")});
    if (!pool && !may_do_without_gpus(options)) return {pool.error().text};
    if (pool) {
      context.gpus = std::move(pool->gpus);
      for (const std::string& remark : pool->remarks)
        topology.remarks.push_back("warning: " + remark);
    } else {
      topology.remarks.push_back("notice: profile auto means cpu here: " + pool.error().text);
    }
  }
  settle_profile(options, told_gpus(options).value_or(context.gpus.size()));
  if (may_order_gpus(options, context.inherited)) {
    const auto inventory = read_inventory([](unsigned) { return std::string(); });
    if (inventory) {
      context.gpus = order_gpus(context.gpus, *inventory,
                                wished_engines(options, context.gpus.size()), options);
    }
  }
  auto plans = plan_engines(options, context);
  if (!plans) return plans.error();
  topology.plans = *std::move(plans);
  topology.spare_gpus = spare_gpus(options, context, topology.plans);
  if (needs_gpus(options)) lease_gpus(topology);
  const std::size_t gpus = told_gpus(options).value_or(context.gpus.size());
  const std::string left_over = gpus_left_over(wished_engines(options, gpus), options, gpus);
  if (!left_over.empty()) topology.remarks.push_back("notice: " + left_over);
  for (const EnginePlan& plan : topology.plans) {
    for (const std::string& remark : plan.remarks) topology.remarks.push_back("notice: " + remark);
  }
  if (const PlacementRow* row = placement_row(options)) {
    topology.missing = row->lacks(options, context.inherited);
  } else {
    topology.missing =
        resolve_executables(topology.plans, lookup(context.inherited, "PATH").value_or(""));
  }
  const bool keeps_alive = *options.proxy.launcher.engine != "command";
  for (EnginePlan& plan : topology.plans) {
    plan.backend = static_cast<BackendId>(topology.backends.size());
    BackendRecord backend;
    backend.origin = BackendOrigin::kLaunched;
    Endpoint endpoint =
        make_endpoint(plan.backend, plan.name, plan.host + ":" + port_text(plan), "");
    if (plan.is_far) endpoint = unplaced_endpoint(std::move(endpoint));
    if (keeps_alive) endpoint.idle_time_to_live = kOwnIdle;
    backend.endpoint = std::make_shared<Endpoint>(std::move(endpoint));
    backend.traits.max_num_seqs = static_cast<std::uint32_t>(plan.max_num_seqs);
    backend.gpus = join_gpus(plan.gpus);
    backend.models = plan.served_names;
    backend.models.insert(backend.models.end(), plan.adapters.begin(), plan.adapters.end());
    backend.simulated = *options.proxy.launcher.engine == "sim";
    topology.backends.push_back(std::move(backend));
  }
  return {};
}

}  // namespace

Endpoint placed_endpoint(Endpoint endpoint, const HostPort& address) {
  endpoint.authority = to_string(address);
  endpoint.addresses = literal_address(endpoint.authority);
  endpoint.problem.clear();
  return endpoint;
}

Endpoint unplaced_endpoint(Endpoint endpoint) {
  endpoint.authority.clear();
  endpoint.addresses.clear();
  endpoint.problem = "it is on no node yet";
  return endpoint;
}

std::vector<BackendRecord> running_servers(const Options& options) {
  std::vector<BackendRecord> backends;
  if (backend_source(options) == BackendSource::kServerAndPort) {
    const WorkerOptions& worker = options.worker;
    const std::string authority =
        to_string(host_port_of(*worker.server, static_cast<std::uint16_t>(*worker.port)));
    backends.push_back(running_server(0, authority, *worker.api_key, {}));
  }
  if (backend_source(options) != BackendSource::kList) return backends;
  ClientContexts contexts;
  for (const BackendOptions& backend : *options.proxy.backends) {
    const BackendUrl url = parse_backend_url(*backend.url);
    if (!url.address) throw std::runtime_error(*backend.url + ": " + url.problem);
    // A file that boots its own engines has a key for show; any other's is for running ones.
    const bool shared = backend.api_key->empty() && !*options.worker.boot_local;
    const std::string& key = shared ? *options.worker.api_key : *backend.api_key;
    backends.push_back(running_server(backends.size(), to_string(*url.address), key, backend));
    if (!url.secured) continue;
    const std::string& ca_file =
        backend.ca_file->empty() ? *options.proxy.tls.ca_file : *backend.ca_file;
    secure(backends.back(), *url.address, contexts.get(*backend.url, ca_file));
  }
  return backends;
}

std::string open_logs(const Options& options, std::vector<EnginePlan>& plans, Holdings& holdings) {
  const std::string& directory = *options.proxy.launcher.log_directory;
  auto logs = EngineLogs::open(directory, plans);
  if (!logs) return logs.error().text;
  holdings.logs = *std::move(logs);
  return "";
}

TopologyOrErrors make_topology(const Options& options, const std::string& self) {
  Topology topology{
      .backends = {},
      .plans = {},
      .holdings = {PortAllocator(static_cast<int>(*options.proxy.launcher.port_base))}};
  try {
    topology.backends = running_servers(options);
    if (backend_source(options) == BackendSource::kLauncher) {
      if (auto errors = add_engines(options, self, topology); !errors.empty()) return errors;
    }
  } catch (const std::runtime_error& error) {
    return std::vector<std::string>{error.what()};
  }
  if (topology.backends.size() > BackendSet::kMax) {
    return std::vector<std::string>{"more than " + std::to_string(BackendSet::kMax) +
                                    " backends: run several proxies"};
  }
  return topology;
}

}  // namespace batchproxy
