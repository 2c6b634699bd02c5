// launcher/process/shim.h - the hidden subcommand `engine-shim`: a small process between us and one
// engine.
//
//   engine-shim (--control-fd N --status-fd M | --listen-fd N --socket PATH --greeting TEXT)
//               --stop-timeout SECONDS (--log FILE | --output-fd O) [--run NAME] [--keep-fd L]...
//               -- PROGRAM ARGS...
//
// The shim is the parent of the engine and, as a subreaper, of every orphan the engine leaves
// behind, so it can tell when the whole tree is gone. The launcher holds the only write end of the
// control pipe: if it dies in any way, the shim reads end-of-file and takes the engine down. The
// shim of an engine that is kept listens instead, and goes on without a launcher; the socket's file
// goes with it.
//
// Control: "stop" (SIGTERM to the engine, SIGKILL to the tree after the timeout), "stop SECONDS"
// (after that time), "kill" (SIGKILL at once), end-of-file (the same as stop). Status: see
// shim_status.h.
//
// What the engine writes comes to the shim by a pipe, and goes to FILE, which is rotated; NAME
// stands in the line with which each run begins there. Or it goes to descriptor O, a pipe of an
// agent, which is never waited for.
//
// The engine inherits each descriptor L: the lock of its log file, what keeps others off its GPUs.
//
// Threading: single-threaded process.
#pragma once

namespace batchproxy {

// argv[0] is the subcommand's name; the rest as above. Returns the process's exit status: 0 when
// the tree is gone, 1 when the engine could not be started, 2 for wrong arguments.
int run_shim(int argc, char** argv);

}  // namespace batchproxy
