// launcher/gpus/free_memory.h - how much memory GPUs have free, asked again and again while an
// engine waits for its own to come back.
//
// Threading: one thread at a time. The first question may take the driver a second, as it opens the
// library, which then stays open; the others take some microseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "launcher/gpus/device_memory.h"
#include "launcher/gpus/gpu.h"
#include "launcher/gpus/nvml.h"

namespace batchproxy {

class FreeMemory {
 public:
  explicit FreeMemory(ProcessName name_of, std::string library = kNvmlLibrary)
      : name_of_(std::move(name_of)), library_(std::move(library)) {}

  // In bytes, on that of `gpus` that has the least. What a kWeightKeeper holds counts as free: it
  // stays, whichever engines come and go. Nothing where the driver does not tell of one.
  std::optional<std::uint64_t> least_of(const Gpus& gpus);

 private:
  ProcessName name_of_;
  std::string library_;
  bool asked_ = false;  // a machine without a driver does not get one while we run
  std::optional<Nvml> nvml_;
};

}  // namespace batchproxy
