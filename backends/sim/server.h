// backends/sim/server.h - the simulated engine's HTTP server, which behaves like vLLM's: HTTP/1.1,
// idle connections closed after 5 s, a disconnected client's requests aborted.
//
// The port is bound by the constructor, so that it is known and taken, but connections are refused
// until the "model" has loaded.
//
// Threading: run() serves on the calling thread; stop() may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sim/api/api.h"
#include "backends/sim/model/front_end.h"
#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {

struct SimServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  Hardware hardware{Gpu::kA100, 1};
  EngineLimits limits;
  FrontEndCosts costs;
  ApiOptions api;
  double time_scale = 1;  // real seconds per simulated second
  std::chrono::duration<double> keep_alive = std::chrono::seconds(5);
  std::uint64_t crash_after = 0;  // at the n-th call of the engine; 0: never
  std::uint64_t die_after = 0;    // likewise; see Fault::kDie
  std::uint64_t hang_after = 0;
  // What ends the process: a crash, whose connection is closed unanswered (1), or a death (0).
  std::function<void(int exit_code)> end;
  std::function<void()> tell_death;  // of Fault::kDie, before the end; may be empty
  bool stop_on_signals = false;      // SIGTERM, SIGINT
};

// Something to do while loading, so many seconds after run() was called.
struct LoadStep {
  std::chrono::duration<double> after;
  std::function<void()> action;
};

class SimServer {
 public:
  // Binds; throws boost::system::system_error if it cannot.
  explicit SimServer(SimServerOptions options);
  ~SimServer();

  std::uint16_t port() const;

  // Performs the load steps, listens with the last one, and serves until stop().
  void run(std::vector<LoadStep> load = {});

  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace batchproxy::sim
