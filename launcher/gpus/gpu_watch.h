// launcher/gpus/gpu_watch.h - GpuWatch: what the GPUs of this machine do, looked at every few
// seconds on a thread of its own, since a driver may take its time.
//
// Units: bytes, per cent, degrees Celsius.
//
// Threading: latest() on any thread. A driver that hangs is not waited for at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/gpus/inventory.h"
#include "launcher/gpus/nvml.h"

namespace batchproxy {

// One GPU; nothing where the driver does not tell.
struct GpuReading {
  int index = -1;
  std::string name;
  GpuMemory memory;
  std::optional<unsigned> utilisation;
  std::optional<unsigned> temperature;
  std::optional<std::uint64_t> nvlink_sent;  // over all links, ever
  std::optional<std::uint64_t> nvlink_received;
};

// Those that answer.
std::vector<GpuReading> read_gpus(const Nvml& nvml);

class GpuWatch {
 public:
  static constexpr std::chrono::seconds kEvery{5};

  // `library`: of NVML. Without one, or without a driver, there is nothing to tell.
  explicit GpuWatch(std::string library = kNvmlLibrary);
  ~GpuWatch();
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  // As they were at the last look; none before the first.
  std::vector<GpuReading> latest() const;

 private:
  struct Desk;
  std::shared_ptr<Desk> desk_;
};

}  // namespace batchproxy
