// launcher/agent/agent.h - the subcommand `engine-agent`: runs one engine on this node for a
// batchproxy on another.
//
//   engine-agent --proxy HOST:PORT --engine NAME --start N [--address IP] [--node NAME]
//
// It is brought here by a carrier (launcher/placement/placement.h) and says to the batchproxy at
// HOST:PORT who it is (agent_protocol.h). Told what to run, it waits until nothing is left here of
// an earlier start of that engine, takes GPUs that nobody has unless a scheduler has chosen them,
// takes a port, and runs the engine in a shim of this node. What the engine writes goes to the
// batchproxy.
//
// The end of the connection, and SIGTERM, SIGINT or SIGHUP, are an order to stop the engine; the
// shim stops it also when the agent itself is killed.
//
// The token of the run is in $BATCHPROXY_AGENT_TOKEN, or the first line of the standard input.
//
// Threading: single-threaded process.
#pragma once

namespace batchproxy {

// argv[0] is the subcommand's name. Returns the process's exit status: 0 when the engine has ended,
// 1 when there was none to run, 2 for wrong arguments.
int run_agent(int argc, char** argv);

}  // namespace batchproxy
