// launcher/gpus/nvml.cc - see nvml.h.
#include "launcher/gpus/nvml.h"

#include <utility>

#include <dlfcn.h>

namespace batchproxy {
namespace {

// The library and what was found in it, closed in the right order.
struct Library {
  explicit Library(const std::string& name) : handle(dlopen(name.c_str(), RTLD_NOW)) {
    if (handle == nullptr) return;
    find(api.init, "nvmlInit_v2");
    find(api.shutdown, "nvmlShutdown");
    find(api.error_string, "nvmlErrorString");
    find(api.driver_version, "nvmlSystemGetDriverVersion");
    find(api.cuda_version, "nvmlSystemGetCudaDriverVersion_v2");
    find(api.count, "nvmlDeviceGetCount_v2");
    find(api.device, "nvmlDeviceGetHandleByIndex_v2");
    find(api.device_by_uuid, "nvmlDeviceGetHandleByUUID");
    find(api.uuid, "nvmlDeviceGetUUID");
    find(api.name, "nvmlDeviceGetName");
    find(api.memory, "nvmlDeviceGetMemoryInfo");
    find(api.memory_v2, "nvmlDeviceGetMemoryInfo_v2");
    find(api.utilization, "nvmlDeviceGetUtilizationRates");
    find(api.temperature, "nvmlDeviceGetTemperature");
    find(api.field_values, "nvmlDeviceGetFieldValues");
    find(api.capability, "nvmlDeviceGetCudaComputeCapability");
    find(api.processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    if (api.processes == nullptr) find(api.processes, "nvmlDeviceGetComputeRunningProcesses_v2");
    find(api.pci, "nvmlDeviceGetPciInfo_v3");
    find(api.link_state, "nvmlDeviceGetNvLinkState");
    find(api.link_remote, "nvmlDeviceGetNvLinkRemotePciInfo_v2");
    find(api.p2p_status, "nvmlDeviceGetP2PStatus");
    find(api.common_ancestor, "nvmlDeviceGetTopologyCommonAncestor");
    find(api.mig_mode, "nvmlDeviceGetMigMode");
    find(api.mig_most, "nvmlDeviceGetMaxMigDeviceCount");
    find(api.mig_device, "nvmlDeviceGetMigDeviceHandleByIndex");
  }
  ~Library() {
    if (is_open) api.shutdown();
    if (handle != nullptr) dlclose(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(handle, name));
  }

  void* handle;
  bool is_open = false;
  NvmlApi api;
};

LaunchError driver_error(const std::string& what) {
  return {"cannot ask the NVIDIA driver for its GPUs (" + what + ")"};
}

std::string words_for(const NvmlApi& api, int code) {
  const char* words = api.error_string == nullptr ? nullptr : api.error_string(code);
  return words == nullptr ? "" : words;
}

std::string init_problem(const NvmlApi& api, int code) {
  std::string text = "nvmlInit returned " + std::to_string(code);
  if (const std::string words = words_for(api, code); !words.empty()) text += ", " + words;
  if (code == kNvmlVersionMismatch) return text + ": the driver was updated, so reboot";
  if (code == kNvmlDriverNotLoaded) return text + ": the kernel has no NVIDIA driver loaded";
  return text + "; does `nvidia-smi` work here?";
}

}  // namespace

OrError<Nvml> Nvml::open(const std::string& name) {
  auto library = std::make_shared<Library>(name);
  const NvmlApi& api = library->api;
  if (library->handle == nullptr) {
    const char* reason = dlerror();
    return driver_error(reason == nullptr ? name + " cannot be loaded" : reason);
  }
  if (api.init == nullptr || api.shutdown == nullptr || api.count == nullptr) {
    return driver_error(name + " is not NVML");
  }
  if (const int code = api.init(); code != kNvmlSuccess) {
    return driver_error(init_problem(api, code));
  }
  library->is_open = true;
  return Nvml(std::shared_ptr<const NvmlApi>(library, &library->api));
}

std::string Nvml::text_of(int code) const {
  const std::string words = words_for(*api_, code);
  const std::string number = std::to_string(code);
  return words.empty() ? "error " + number : words + " (" + number + ")";
}

}  // namespace batchproxy
