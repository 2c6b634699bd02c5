// launcher/plan/gpu_inventory.cc - asks NVIDIA's driver library, if the machine has one.
#include "launcher/plan/gpu_inventory.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string_view>

#include <dlfcn.h>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

constexpr std::string_view kWithoutDriver =
    "; set batchproxy.launcher.gpus to the number of GPUs, or try --engine sim";

// NVML is loaded at run time: batchproxy must start on machines that have no driver.
class Nvml {
 public:
  explicit Nvml(const std::string& library) : handle_(dlopen(library.c_str(), RTLD_NOW)) {}

  template <class Function>
  Function* find(const char* name) const {
    return handle_ ? reinterpret_cast<Function*>(dlsym(handle_.get(), name)) : nullptr;
  }

 private:
  struct Close {
    void operator()(void* handle) const { dlclose(handle); }
  };
  std::unique_ptr<void, Close> handle_;
};

LaunchError driver_error(const std::string& what) {
  return {"cannot ask the NVIDIA driver for its GPUs (" + what + ")" + std::string(kWithoutDriver)};
}

OrError<Gpu> parse_device(std::string_view item) {
  if (const auto index = number_in<int>(item); index && *index >= -1) return Gpu(*index);
  if (item.starts_with("GPU-") || item.starts_with("MIG-")) return Gpu::by_uuid(std::string(item));
  if (item == "NoDevFiles") {
    return LaunchError{
        "CUDA_VISIBLE_DEVICES is NoDevFiles: the batch system has given this job no GPUs; ask it "
        "for some (SLURM: --gres=gpu:N), or try --engine sim"};
  }
  return LaunchError{"CUDA_VISIBLE_DEVICES has '" + std::string(item) +
                     "': expected GPU indices such as 0,1,2,3"};
}

OrError<Gpus> limited(int count, const Gpus& visible) {
  for (const Gpu& gpu : visible) {
    if (gpu.index >= count) {
      return LaunchError{"CUDA_VISIBLE_DEVICES names GPU " + gpu.name() + ", but the driver has " +
                         (count == 0 ? "none" : "only 0 to " + std::to_string(count - 1))};
    }
  }
  return visible;
}

}  // namespace

OrError<int> count_gpus(const std::string& nvml_library) {
  const Nvml nvml(nvml_library);
  // NVML's functions return 0 for success.
  auto* const init = nvml.find<int()>("nvmlInit_v2");
  auto* const get_count = nvml.find<int(unsigned int*)>("nvmlDeviceGetCount_v2");
  auto* const shutdown = nvml.find<int()>("nvmlShutdown");
  if (!init || !get_count || !shutdown) {
    const char* reason = dlerror();
    return driver_error(reason ? reason : nvml_library + " is not NVML");
  }
  if (const int code = init(); code != 0) {
    return driver_error("nvmlInit returned " + std::to_string(code) +
                        "; does `nvidia-smi` work here?");
  }
  unsigned int count = 0;
  const int code = get_count(&count);
  shutdown();
  if (code != 0) return driver_error("nvmlDeviceGetCount returned " + std::to_string(code));
  return static_cast<int>(count);
}

OrError<Gpus> parse_visible_devices(const std::string& value) {
  Gpus devices;
  std::string_view rest = value;
  while (!trim(rest).empty()) {
    const auto comma = rest.find(',');
    const auto device = parse_device(trim(rest.substr(0, comma)));
    if (!device) return device.error();
    if (*device == Gpu(-1)) break;  // as in CUDA: what follows an invalid index is invisible
    if (std::find(devices.begin(), devices.end(), *device) != devices.end()) {
      return LaunchError{"CUDA_VISIBLE_DEVICES names GPU " + device->name() + " twice"};
    }
    devices.push_back(*device);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return devices;
}

OrError<Gpus> find_gpus(std::int64_t asked, const std::optional<std::string>& cuda_visible_devices,
                        const std::string& nvml_library) {
  std::optional<Gpus> visible;
  if (cuda_visible_devices) {
    auto parsed = parse_visible_devices(*cuda_visible_devices);
    if (!parsed) return parsed.error();
    visible = std::move(*parsed);
    if (visible->empty()) return Gpus();
  }
  if (asked == 0) {
    const auto count = count_gpus(nvml_library);
    if (!count) return count.error();
    if (visible) return limited(*count, *visible);
    asked = *count;
  }
  if (!visible) {
    visible.emplace(static_cast<std::size_t>(asked));
    std::iota(visible->begin(), visible->end(), 0);
  }
  if (visible->size() < static_cast<std::size_t>(asked)) {
    return LaunchError{"batchproxy.launcher.gpus is " + std::to_string(asked) +
                       ", but CUDA_VISIBLE_DEVICES=" + *cuda_visible_devices + " allows only " +
                       std::to_string(visible->size()) + ": unset it or lower launcher.gpus"};
  }
  visible->resize(static_cast<std::size_t>(asked));
  return *visible;
}

}  // namespace batchproxy
