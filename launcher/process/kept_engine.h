// launcher/process/kept_engine.h - engines that go on without us: how their shims are reached, and
// which there are.
//
// The shim of an engine that is kept listens on a socket beside the engine's log, ENGINE.sock, with
// mode 0600. That it answers there proves that it lives and that the engine is its child, which no
// process number in a file could. It says first how the engine was started.
//
// Threading: any thread; a shim that does not answer is waited for, a second at most.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/net/descriptor.h"
#include "launcher/base/result.h"

namespace batchproxy {

struct KeptEngine {
  std::string name;       // "engine-0"
  int port = 0;           // at which it serves
  std::string identity;   // of its command, see EnginePlan::identity
  Descriptor connection;  // to its shim: orders go there, status lines come
};

// The engines whose logs are in `directory`, by name.
std::vector<KeptEngine> find_kept_engines(const std::string& directory);

// For a new shim: a socket at which it can be reached from now on, in place of one that nobody
// listens to.
OrError<Descriptor> listen_for_launchers(const std::string& directory, const std::string& engine);
// A connection to it.
OrError<Descriptor> connect_to_shim(const std::string& directory, const std::string& engine);

std::string kept_socket(const std::string& directory, const std::string& engine);

// The first line that a shim says, without its newline.
std::string kept_greeting(const std::string& identity, int port);

}  // namespace batchproxy
