// backends/sim/startup_log.h - what the simulated engine writes to stdout while it "loads": the
// lines by which vLLM's progress is followed, and a first one that says that this is a simulation.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sim/failure.h"
#include "backends/sim/flags.h"

namespace batchproxy::sim {

// "(EngineCore pid=7) INFO 08-12 13:30:42 [core.py:77] text"; the file says which of vLLM's
// processes would write it, and ours has to be all of them.
std::string vllm_log_line(std::string_view level, std::string_view where, std::string_view text,
                          std::time_t now);

// What the server has been sized to.
struct EngineSize {
  std::int64_t kv_tokens = 0;
  double kv_gib = 0;  // on each GPU
  int max_model_len = 0;
  int max_num_batched_tokens = 0;
};

struct StartupLine {
  double after = 0;   // share of the load time, from 0 to 1
  std::string where;  // empty: `text` is the whole line
  std::string text;
};

// In order of time. `address` is host:port.
std::vector<StartupLine> startup_lines(const SimFlags& flags, const EngineSize& size,
                                       const std::string& address,
                                       const std::vector<std::string>& routes);

// The lines with which vLLM gives up for the reason `failure`: in the engine's process, once in its
// log and once as Python's own traceback, and then in the API server's, which only points back.
std::vector<std::string> failure_lines(const Failure& failure, std::time_t now);

// What is said every minute by the processes that wait for one that hangs.
std::string stall_line(std::time_t now);

// What the API server says when the engine's process is gone.
std::vector<std::string> death_lines(std::time_t now);

}  // namespace batchproxy::sim
