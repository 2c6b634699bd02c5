// launcher/supervision/gpu_gate.h - GpuGate: holds an engine's next start back until the memory of
// its GPUs is back.
//
// The driver frees what a process had some time after its death. An engine that starts before that
// finds too little memory, and fails for a reason that passes by itself.
//
// Threading: plain values; no clock, and no driver: the memory is passed in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "batcher/base/time.h"

namespace batchproxy {

class GpuGate {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(30);

  // The engine has ended: from now on there is something to wait for.
  void close() { closed_ = true; }

  // Asked before a start that has waited so long already: why it waits on, or nothing when it shall
  // start. `free`: the memory in bytes on that of its GPUs that has the least, if that is known.
  std::optional<std::string> why_wait(std::optional<std::uint64_t> free, Duration waited);

 private:
  std::uint64_t most_free_ = 0;  // seen before a start
  bool closed_ = false;
};

}  // namespace batchproxy
