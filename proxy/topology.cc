// proxy/topology.cc - see topology.h.
#include "proxy/topology.h"

#include <stdexcept>

#include <unistd.h>

#include "configs/host_port.h"
#include "configs/loader.h"
#include "launcher/command_line.h"
#include "launcher/executable.h"
#include "launcher/gpu_inventory.h"
#include "proxy/listener.h"

namespace batchproxy {

namespace {

// Engines that we start are told to keep idle connections for 120 s (see launcher/command_line.h).
constexpr Duration kOwnIdle = std::chrono::seconds(75);

std::optional<std::string> lookup(const Environment& environment, const std::string& name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::nullopt : std::optional(it->second);
}

Endpoint make_endpoint(std::size_t id, std::string name, std::string authority,
                       std::string api_key) {
  Endpoint endpoint;
  endpoint.id = static_cast<BackendId>(id);
  endpoint.address = resolve(authority);
  endpoint.name = std::move(name);
  endpoint.authority = std::move(authority);
  endpoint.api_key = std::move(api_key);
  return endpoint;
}

void add_running_servers(const Options& options, Topology& topology) {
  for (const BackendOptions& backend : *options.proxy.backends) {
    const BackendUrl url = parse_backend_url(*backend.url);
    if (!url.address) throw std::runtime_error(*backend.url + ": " + url.problem);
    const std::string authority = to_string(*url.address);
    // A file that boots its own engines has a key for show; any other's is for running ones.
    const bool shared = backend.api_key->empty() && !*options.worker.boot_local;
    const std::string& key = shared ? *options.worker.api_key : *backend.api_key;
    topology.sites.push_back({make_endpoint(topology.sites.size(), authority, authority, key),
                              static_cast<std::uint32_t>(*backend.max_num_seqs),
                              {},
                              false});
  }
}

void add_server_and_port(const Options& options, Topology& topology) {
  const std::string authority = *options.worker.server + ":" + std::to_string(*options.worker.port);
  topology.sites.push_back(
      {make_endpoint(0, authority, authority, *options.worker.api_key), 256, {}, false});
}

std::vector<std::string> add_engines(const Options& options, const std::string& self,
                                     Topology& topology) {
  PlanContext context;
  context.inherited = process_environment();
  context.self_executable = self;
  context.run_id = std::to_string(::getpid());
  context.next_port = [&topology] { return topology.ports.take(); };
  if (needs_gpus(options)) {
    auto gpus =
        find_gpus(*options.proxy.launcher.gpus, lookup(context.inherited, "CUDA_VISIBLE_DEVICES"));
    if (!gpus) return {gpus.error().text};
    context.gpus = *gpus;
  }
  auto plans = plan_engines(options, context);
  if (!plans) return plans.error();
  topology.plans = *std::move(plans);
  topology.missing =
      resolve_executables(topology.plans, lookup(context.inherited, "PATH").value_or(""));
  const bool keeps_alive = *options.proxy.launcher.engine != "command";
  for (const EnginePlan& plan : topology.plans) {
    BackendSite site;
    site.endpoint = make_endpoint(topology.sites.size(), plan.name,
                                  plan.host + ":" + std::to_string(plan.port), "");
    if (keeps_alive) site.endpoint.idle_time_to_live = kOwnIdle;
    site.max_num_seqs = static_cast<std::uint32_t>(plan.max_num_seqs);
    site.gpus = join_gpus(plan.gpus);
    site.simulated = *options.proxy.launcher.engine == "sim";
    topology.sites.push_back(std::move(site));
  }
  return {};
}

}  // namespace

Environment process_environment() {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos)
      all.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return all;
}

TopologyOrErrors make_topology(const Options& options, const std::string& self) {
  Topology topology{{}, {}, PortAllocator(static_cast<int>(*options.proxy.launcher.port_base))};
  try {
    switch (backend_source(options)) {
      case BackendSource::kList:
        add_running_servers(options, topology);
        break;
      case BackendSource::kServerAndPort:
        add_server_and_port(options, topology);
        break;
      case BackendSource::kLauncher:
        if (auto errors = add_engines(options, self, topology); !errors.empty()) return errors;
        break;
      case BackendSource::kNone:
        break;
    }
  } catch (const std::runtime_error& error) {
    return std::vector<std::string>{error.what()};
  }
  if (topology.sites.size() > BackendSet::kMax) {
    return std::vector<std::string>{"more than " + std::to_string(BackendSet::kMax) +
                                    " backends: run several proxies"};
  }
  return topology;
}

}  // namespace batchproxy
