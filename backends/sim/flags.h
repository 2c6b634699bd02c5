// backends/sim/flags.h - the command line of the simulated engine: the flags of `vllm serve` that
// matter to a simulation, and our own, which begin with --sim-.
//
// Dashes and underscores are the same, --flag value and --flag=value too. Other flags are assumed
// to be vLLM's: they are listed and ignored.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "backends/sim/memory.h"
#include "backends/sim/model/answers.h"
#include "backends/sim/model/front_end.h"
#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {

// The whole command line, a field for each flag: sim_engine.cc hands the parts on.
struct SimFlags {
  std::string model;
  std::vector<std::string> served_names;  // the model itself if none is given
  std::string host = "127.0.0.1";         // vLLM would listen on all interfaces
  std::uint16_t port = 8000;              // 0: any free one
  int tensor_parallel_size = 1;
  int pipeline_parallel_size = 1;
  std::optional<int> max_model_len;  // absent: the model's, at most 32768 if no shape is known
  bool fits_model_len = false;       // --max-model-len auto: as long as fits
  bool is_kv_fp8 = false;            // --kv-cache-dtype fp8...
  std::optional<int> max_num_seqs;   // absent: vLLM's default for the GPU
  std::optional<int> max_num_batched_tokens;
  double gpu_memory_utilization = 0.9;
  bool prefix_caching = true;
  bool pooling = false;  // --runner pooling
  bool tokenizer_info = false;
  std::vector<std::string> api_keys;

  Gpu gpu = Gpu::kA100;
  double time_scale = 1;  // real seconds per simulated second
  double load_seconds = 0.3;
  FrontEndCosts costs;
  AnswerMode answer_mode = AnswerMode::kLetters;
  bool token_ids = true;
  std::uint64_t crash_after = 0;  // at the n-th call; 0: never
  std::uint64_t die_after = 0;    // likewise
  std::uint64_t hang_after = 0;
  std::optional<double> kv_memory_gib;  // of each GPU; absent: what the hardware leaves
  std::optional<ModelShape> shape;      // absent: config.json's, or Llama-2-7B's
  VllmVersion version;                  // whose words and arithmetic
  std::string fail;                     // see failure.h; empty: does not
  std::string fail_once;                // a file: fails only while it is not there, and makes it

  bool help = false;
  std::vector<std::string> ignored;  // as given
};

struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Throws UsageError.
SimFlags parse_sim_flags(std::span<const std::string> arguments);

std::string sim_usage();

}  // namespace batchproxy::sim
