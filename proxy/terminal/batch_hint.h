// proxy/terminal/batch_hint.h - why batches stay small, and which key would change that.
//
// Threading: pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace batchproxy {

struct BatchHistory {
  std::uint64_t batches = 0;
  std::uint64_t prompts = 0;     // in them
  std::uint64_t by_timeout = 0;  // batches that left because batch_timeout had passed
  std::uint64_t clients = 0;     // most clients connected at once
  std::uint32_t batch_size = 0;
  double batch_timeout = 0;  // seconds
};

// One sentence, once there is enough to go by and batches are less than three quarters full on
// average.
std::optional<std::string> batch_hint(const BatchHistory& history);

}  // namespace batchproxy
