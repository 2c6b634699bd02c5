// launcher/outlook/agents_outlook.cc - see agents_outlook.h.
#include "launcher/outlook/agents_outlook.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "backends/names/resolver.h"
#include "configs/schema/host_port.h"
#include "launcher/agent/agent_listener.h"
#include "launcher/outlook/answer_time.h"
#include "launcher/outlook/slurm_outlook.h"

namespace batchproxy {
namespace {

constexpr const char* kWrite =
    "write the name or address by which the nodes reach this machine, or leave agents_listen out";

// Whether all engines run here, as far as the names of their nodes tell.
bool stays_here(const Options& options, const Machine& machine) {
  const LauncherOptions& launcher = options.proxy.launcher;
  if (*launcher.placement == "exec" && launcher.exec_command->front() == "{agent...}") return true;
  std::vector<std::string> nodes;
  if (*launcher.placement == "exec") nodes = *launcher.nodes;
  if (*launcher.placement == "slurm") {
    nodes = expand_host_list(machine.variable("SLURM_JOB_NODELIST"));
  }
  return !nodes.empty() && std::ranges::all_of(nodes, [](const std::string& node) {
    return is_loopback(node) || is_own_name(node);
  });
}

Finding taken(const std::string& problem, const std::optional<HostPort>& at,
              const Machine& machine) {
  const bool may_ask = at && at->port != 0 && machine.port_holder;
  const std::string holder = may_ask ? machine.port_holder(at->port) : "";
  return hopeless(problem + (holder.empty() ? "" : ": " + holder + " listens there"),
                  "end the program that has it, or choose an address of this machine and a port "
                  "that is free");
}

// What the system's resolver, which nothing can interrupt, says of the name in that time.
std::optional<LookUp> looked_up(const HostPort& name, std::chrono::seconds most) {
  std::promise<LookUp> promise;
  std::future<LookUp> answer = promise.get_future();
  std::thread([name, promise = std::move(promise)]() mutable {
    promise.set_value(look_up(name));
  }).detach();
  if (answer.wait_for(most) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

// What nobody here knows, the nodes hardly know.
std::optional<Finding> unknown_name(const HostPort& at) {
  if (is_address(at.host)) return std::nullopt;
  const auto answer = looked_up(at, kUnnoticed);
  if (!answer) {
    return warning(fmt::format("agents_listen names `{}`, and within {} s no name server has said "
                               "where that is",
                               at.host, kUnnoticed.count()),
                   kWrite);
  }
  if (!answer->error) return std::nullopt;
  return failure(fmt::format("agents_listen names `{}`, which is not known here ({}): agents would "
                             "not find batchproxy",
                             at.host, answer->error.message()),
                 kWrite);
}

}  // namespace

std::vector<Finding> agents_outlook(const Options& options, const Machine& machine) {
  const std::string& listen = *options.proxy.launcher.agents_listen;
  const auto at = parse_host_port(listen);
  std::string address;
  try {
    boost::asio::io_context io;
    address = AgentListener(io, listen, "", [](const std::string&) {}).address();
  } catch (const std::runtime_error& error) {
    return {taken(error.what(), at, machine)};
  }
  const bool is_loop = at && is_loopback(at->host);
  if (is_loop && !stays_here(options, machine)) {
    return {failure(fmt::format("agents_listen is {}, a loopback address: agents of other nodes "
                                "would look for batchproxy on their own machine",
                                listen),
                    kWrite)};
  }
  if (auto problem = at ? unknown_name(*at) : std::nullopt) return {*std::move(problem)};
  // A port that is picked now is not the one of a start.
  const std::size_t colon = address.rfind(':');
  const bool is_picked = !at || at->port == 0;
  return {ok(fmt::format("the nodes must reach this machine as {}{}",
                         is_picked ? address.substr(0, colon) : address,
                         is_picked ? ", at any port" : ""))};
}

}  // namespace batchproxy
