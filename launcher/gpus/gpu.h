// launcher/gpus/gpu.h - a GPU as CUDA_VISIBLE_DEVICES names it.
//
// Threading: plain values.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace batchproxy {

struct Gpu {
  int index = -1;      // as the driver counts
  std::string uuid{};  // "GPU-..." or "MIG-...", instead of an index

  Gpu(int its_index = -1) : index(its_index) {}  // NOLINT: an index is a GPU
  static Gpu by_uuid(std::string uuid) {
    Gpu gpu;
    gpu.uuid = std::move(uuid);
    return gpu;
  }

  std::string name() const { return uuid.empty() ? std::to_string(index) : uuid; }

  friend bool operator==(const Gpu&, const Gpu&) = default;
};
using Gpus = std::vector<Gpu>;

}  // namespace batchproxy
