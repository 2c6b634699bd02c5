// backends/health/engine_metrics.h - what an engine's /metrics says to the scheduler.
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

struct EngineMetrics {
  EngineSample sample;
  std::uint64_t kv_tokens = 0;  // 0: it does not say
};

// Nothing when `text` does not tell how many requests run and wait.
std::optional<EngineMetrics> parse_engine_metrics(std::string_view text);

}  // namespace batchproxy
