// launcher/gpus/nvml_api.h - the few functions of NVIDIA's management library that we call, as its
// C interface has them, declared by ourselves: batchproxy is built without NVIDIA's headers and
// starts without its library.
//
// Units: bytes, per cent, degrees Celsius. Every function returns NvmlCode.
//
// Threading: NVML locks for itself; any thread.
#pragma once

#include <cstdint>

namespace batchproxy {

// Codes that we tell apart; all others are shown by NVML's own words.
enum NvmlCode : int {
  kNvmlSuccess = 0,
  kNvmlNotSupported = 3,
  kNvmlNotFound = 6,
  kNvmlTooSmall = 7,
  kNvmlDriverNotLoaded = 9,
  kNvmlGpuIsLost = 15,
  kNvmlVersionMismatch = 18,  // the library is not of the loaded driver
};

struct NvmlHandle;
using NvmlDevice = NvmlHandle*;

struct NvmlMemory {
  unsigned long long total, free, used;
};

// The same without what the driver keeps for itself, which `nvidia-smi` does not count as used.
struct NvmlMemoryV2 {
  unsigned int version;
  unsigned long long total, reserved, free, used;
};
inline constexpr unsigned int kNvmlMemoryV2 =
    static_cast<unsigned int>(sizeof(NvmlMemoryV2)) | (2u << 24);

struct NvmlUtilization {
  unsigned int gpu, memory;
};

struct NvmlProcess {
  unsigned int pid;
  unsigned long long used;  // kNvmlUnknown where the driver does not tell
  unsigned int gpu_instance, compute_instance;
};
inline constexpr unsigned long long kNvmlUnknown = ~0ull;

struct NvmlPci {
  char legacy_bus_id[16];
  unsigned int domain, bus, device, id, subsystem;
  char bus_id[32];  // "00000000:1B:00.0"
};

// One of the many figures that have a number instead of a function.
struct NvmlFieldValue {
  unsigned int field;
  unsigned int scope;  // a link, or kNvmlAllLinks
  long long timestamp, latency_us;
  int type;
  int code;                  // NvmlCode, of this value
  unsigned long long value;  // of `type`, which for these two is such a number: KiB
};
inline constexpr unsigned int kNvmlNvlinkSent = 138;
inline constexpr unsigned int kNvmlNvlinkReceived = 139;
inline constexpr unsigned int kNvmlAllLinks = ~0u;

inline constexpr unsigned int kNvmlTextSize = 96;
inline constexpr unsigned int kNvmlMostLinks = 18;
inline constexpr int kNvmlP2pByNvlink = 2;
inline constexpr int kNvmlGpuSensor = 0;

// Function pointers by the names of the library; null where this library has none of that name.
struct NvmlApi {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int code) = nullptr;
  int (*driver_version)(char* text, unsigned int size) = nullptr;
  int (*cuda_version)(int* thousands) = nullptr;  // 13000 is 13.0, 12080 is 12.8
  int (*count)(unsigned int* count) = nullptr;
  int (*device)(unsigned int index, NvmlDevice* device) = nullptr;
  int (*device_by_uuid)(const char* uuid, NvmlDevice* device) = nullptr;
  int (*uuid)(NvmlDevice, char* text, unsigned int size) = nullptr;
  int (*name)(NvmlDevice, char* text, unsigned int size) = nullptr;
  int (*memory)(NvmlDevice, NvmlMemory*) = nullptr;
  int (*memory_v2)(NvmlDevice, NvmlMemoryV2*) = nullptr;
  int (*utilization)(NvmlDevice, NvmlUtilization*) = nullptr;
  int (*temperature)(NvmlDevice, int sensor, unsigned int* degrees) = nullptr;
  int (*field_values)(NvmlDevice, int count, NvmlFieldValue*) = nullptr;
  int (*capability)(NvmlDevice, int* major, int* minor) = nullptr;
  int (*processes)(NvmlDevice, unsigned int* count, NvmlProcess*) = nullptr;
  int (*pci)(NvmlDevice, NvmlPci*) = nullptr;
  int (*link_state)(NvmlDevice, unsigned int link, int* is_on) = nullptr;
  int (*link_remote)(NvmlDevice, unsigned int link, NvmlPci*) = nullptr;
  int (*p2p_status)(NvmlDevice, NvmlDevice, int by, int* status) = nullptr;  // 0: yes
  int (*common_ancestor)(NvmlDevice, NvmlDevice, int* level) = nullptr;
  int (*mig_mode)(NvmlDevice, unsigned int* current, unsigned int* pending) = nullptr;
  int (*mig_most)(NvmlDevice, unsigned int* count) = nullptr;
  int (*mig_device)(NvmlDevice, unsigned int index, NvmlDevice*) = nullptr;
};

}  // namespace batchproxy
