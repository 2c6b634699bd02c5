// launcher/process/shim.h - the hidden subcommand `engine-shim`: a small process between us and one
// engine.
//
//   engine-shim --control-fd N --status-fd M --stop-timeout SECONDS --log FILE [--keep-fd L]
//               -- PROGRAM ARGS...
//
// The shim is the parent of the engine and, as a subreaper, of every orphan the engine leaves
// behind, so it can tell when the whole tree is gone. The launcher holds the only write end of the
// control pipe: if it dies in any way, the shim reads end-of-file and takes the engine down.
//
// Control: "stop" (SIGTERM to the engine, SIGKILL to the tree after the timeout), "stop SECONDS"
// (after that time), "kill" (SIGKILL at once), end-of-file (the same as stop). Status: see
// shim_status.h.
//
// The engine inherits descriptor L, which holds the lock of its log file.
//
// Threading: single-threaded process.
#pragma once

namespace batchproxy {

// argv[0] is the subcommand's name; the rest as above. Returns the process's exit status: 0 when
// the tree is gone, 1 when the engine could not be started, 2 for wrong arguments.
int run_shim(int argc, char** argv);

}  // namespace batchproxy
