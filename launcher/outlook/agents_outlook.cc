// launcher/outlook/agents_outlook.cc - see agents_outlook.h.
#include "launcher/outlook/agents_outlook.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "configs/schema/host_port.h"
#include "launcher/agent/agent_listener.h"

namespace batchproxy {
namespace {

constexpr const char* kWrite =
    "write the name or address by which the nodes reach this machine, or leave agents_listen out";

// Whether all engines run here, under names of this machine: only `exec` tells.
bool stays_here(const Options& options) {
  const auto& nodes = *options.proxy.launcher.nodes;
  return *options.proxy.launcher.placement == "exec" && !nodes.empty() &&
         std::ranges::all_of(
             nodes, [](const std::string& node) { return is_loopback(node) || is_own_name(node); });
}

Finding taken(const std::string& problem, const std::optional<HostPort>& at,
              const Machine& machine) {
  const bool may_ask = at && at->port != 0 && machine.port_holder;
  const std::string holder = may_ask ? machine.port_holder(at->port) : "";
  return failure(problem + (holder.empty() ? "" : ": " + holder + " listens there"),
                 "end the program that has it, or choose an address of this machine and a port "
                 "that is free");
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
  if (is_loop && !stays_here(options)) {
    return {failure(fmt::format("agents_listen is {}, a loopback address: agents of other nodes "
                                "would look for batchproxy on their own machine",
                                listen),
                    kWrite)};
  }
  // A port that is picked now is not the one of a start.
  const std::size_t colon = address.rfind(':');
  const bool is_picked = !at || at->port == 0;
  return {ok(fmt::format("the nodes must reach this machine as {}{}",
                         is_picked ? address.substr(0, colon) : address,
                         is_picked ? ", at any port" : ""))};
}

}  // namespace batchproxy
