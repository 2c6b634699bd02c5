// backends/sim/failure.h - the ways in which a simulated engine fails while it "loads", in vLLM's
// words (`--sim-fail`).
//
// Each is a row of the table in failure.cc. A failure does not happen where what vLLM would need is
// given: less gpu_memory_utilization, fewer max_num_seqs, a variable. So a launcher that repairs
// can be tried with it.
//
// Threading: pure functions; does_fail() may touch the file of --sim-fail-once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sim/flags.h"

namespace batchproxy::sim {

// How the engine ends.
enum class Ending : std::uint8_t {
  kError,     // a traceback in the engine's process, and those that follow from it
  kFrontEnd,  // a traceback in the API server alone
  kHang,      // never: it says again and again that it waits, and ignores SIGTERM, as vLLM does
  kSilent,    // killed: no word but that a process is gone
};

struct Failure {
  double after = 0;  // share of the load time
  Ending ending = Ending::kError;
  std::vector<std::string> frames;  // functions of the traceback, outermost first
  std::string error;                // its last line
};

// The words that --sim-fail takes.
std::vector<std::string_view> failure_words();

// Whether the engine with these flags, and the variables of this process, fails as --sim-fail says.
bool does_fail(const SimFlags& flags);
Failure failure_of(const SimFlags& flags);

// As vLLM fails when the KV cache does not hold one request.
Failure kv_failure(std::string error);

}  // namespace batchproxy::sim
