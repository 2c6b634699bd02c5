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

#include "launcher/gpus/gpu.h"
#include "launcher/gpus/nvml.h"

namespace batchproxy {

class FreeMemory {
 public:
  explicit FreeMemory(std::string library = kNvmlLibrary) : library_(std::move(library)) {}

  // In bytes, on that of `gpus` that has the least. Nothing where the driver does not tell of one.
  std::optional<std::uint64_t> least_of(const Gpus& gpus);

 private:
  std::string library_;
  bool asked_ = false;  // a machine without a driver does not get one while we run
  std::optional<Nvml> nvml_;
};

}  // namespace batchproxy
