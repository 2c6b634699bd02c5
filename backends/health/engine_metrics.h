// backends/health/engine_metrics.h - what an engine's /metrics says to the scheduler, and to
// people.
//
// Sources: vLLM's v1/metrics/loggers.py. With data parallelism there is one series per `engine`
// label: they are summed.
//
// Threading: pure function, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "batcher/engine/engine_sample.h"

namespace batchproxy {

// For people. With data parallelism the use of the fullest cache.
struct EngineFigures {
  double running = 0;  // requests
  double waiting = 0;  // requests
  double kv_use = 0;   // of its cache, 0 to 1
  // Tokens, ever.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generation_tokens = 0;
  std::uint64_t prefix_queries = 0;  // looked for in its cache,
  std::uint64_t prefix_hits = 0;     // and found
};

struct EngineMetrics {
  EngineSample sample;
  std::uint64_t kv_tokens = 0;  // 0: it does not say
  EngineFigures figures{};
};

// Nothing when `text` does not tell how many requests run and wait.
std::optional<EngineMetrics> parse_engine_metrics(std::string_view text);

}  // namespace batchproxy
