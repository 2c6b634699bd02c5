// batcher/engine/engine_sample.h - EngineSample: what one look at an engine's /metrics says.
//
// Threading: values, any thread.
#pragma once

#include <cstdint>
#include <optional>

namespace batchproxy {

struct EngineSample {
  double running = 0;             // requests
  double waiting = 0;             // requests
  std::uint64_t preemptions = 0;  // ever
  // Engine iterations, ever; nothing where it does not count them.
  std::optional<std::uint64_t> steps{};
};

}  // namespace batchproxy
