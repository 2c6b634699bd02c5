// launcher/placement/child_carrier.h - a Carrier that is a program of this machine, such as ssh or
// srun.
//
// It has a session of its own: Ctrl-C in our terminal is for us, who still want the answers in
// flight, and a password cannot be asked for. It gets the token in its environment and as the first
// line of its standard input. When we die in any way it gets SIGTERM, and so do its children, if
// there is a guard.
//
// Threading: confined to the control thread's io_context, and started on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "configs/sources/environment.h"
#include "launcher/placement/placement.h"

namespace batchproxy {

struct CarrierCommand {
  std::vector<std::string> argv;  // argv[0]: a name on PATH, or a path
  Environment environment;        // all of it
  std::string input{};            // for its standard input, which ends behind it
  std::string node{};             // to which it brings an agent; empty: that is not known
  int guard = -1;                 // of its group, a GroupGuard's; -1: there is none
  std::string if_done_early{};    // its advice() if it ends with exit code 0; empty: none
};

std::unique_ptr<Carrier> start_carrier(boost::asio::io_context& io, CarrierCommand command,
                                       Carrier::Hooks hooks);

// For an agent: `environment`, but for what no engine may have, and the standard input, with the
// token in them.
CarrierCommand carrier_command(std::vector<std::string> argv, Environment environment,
                               const AgentCall& call);

}  // namespace batchproxy
