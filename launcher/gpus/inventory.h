// launcher/gpus/inventory.h - the GPUs of this machine as plain values: what the driver says of
// each, who uses it, and which others it can reach fast.
//
// Units: memory in bytes, utilisation in per cent, temperature in degrees Celsius.
//
// Threading: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/gpus/gpu.h"

namespace batchproxy {

struct GpuMemory {
  std::uint64_t total = 0;
  std::uint64_t used = 0;  // as `nvidia-smi` counts: without what the driver keeps for itself
  std::uint64_t free = 0;
  std::uint64_t reserved = 0;  // of `total`, by the driver; 0 where it does not tell
};

struct GpuProcess {
  unsigned pid = 0;
  std::optional<std::uint64_t> used;  // none where the driver does not tell, as inside containers
  std::string name;                   // from /proc; empty when it is another's or has gone
};

// A part of a GPU with memory of its own.
struct MigInstance {
  std::string uuid;  // "MIG-..."
  std::string name;
  GpuMemory memory;
};

// One active NVLink: to `peer`, or to a switch when that is -1.
struct NvLink {
  unsigned link = 0;
  std::string remote;  // PCI address of the other end
  int peer = -1;       // index of the GPU there
};

struct GpuState {
  int index = -1;
  std::string uuid;
  std::string name;
  std::string pci;  // "00000000:1B:00.0"
  GpuMemory memory;
  std::optional<unsigned> utilisation;
  std::optional<unsigned> temperature;
  std::optional<int> capability;  // 90 is 9.0
  std::vector<GpuProcess> processes;
  std::vector<NvLink> links;
  bool mig_enabled = false;
  std::vector<MigInstance> mig;
  std::string problem;  // why the rest is missing; empty for a GPU that answers
};

// How two GPUs reach each other, the fastest first; the words are those of `nvidia-smi topo -m`.
enum class GpuPath { kSelf, kNvlink, kPix, kPxb, kPhb, kNode, kSys, kUnknown };

struct GpuConnection {
  GpuPath path = GpuPath::kUnknown;
  int links = 0;  // NVLinks between the two, for kNvlink

  friend bool operator==(const GpuConnection&, const GpuConnection&) = default;
};

// "NV18", "PHB", "X"
std::string to_string(const GpuConnection& connection);

struct Inventory {
  std::string driver;          // "580.95.05"
  int cuda = 0;                // newest CUDA that the driver runs, 13000 for 13.0; 0 when unknown
  std::vector<GpuState> gpus;  // by index
  std::vector<std::vector<GpuConnection>> topology;  // [from][to], by position in `gpus`

  // Indices of the GPUs that `index` reaches by NVLink.
  std::vector<int> nvlink_neighbours(int index) const;
};

// "13.0" of 13000
std::string cuda_version_text(int cuda);

}  // namespace batchproxy
