// launcher/gpus/gpu_watch.cc - see gpu_watch.h.
#include "launcher/gpus/gpu_watch.h"

#include <array>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "launcher/gpus/device_memory.h"

namespace batchproxy {

namespace {

constexpr std::chrono::seconds kPatience{1};  // at the end, with a look that is under way

std::optional<std::uint64_t> bytes_of(const NvmlFieldValue& field) {
  if (field.code != kNvmlSuccess) return std::nullopt;
  return field.value << 10;
}

void read_nvlink(const NvmlApi& api, NvmlDevice device, GpuReading& gpu) {
  std::array<NvmlFieldValue, 2> fields{};
  fields[0].field = kNvmlNvlinkSent;
  fields[1].field = kNvmlNvlinkReceived;
  for (NvmlFieldValue& field : fields) field.scope = kNvmlAllLinks;
  if (api.field_values == nullptr ||
      api.field_values(device, static_cast<int>(fields.size()), fields.data()) != kNvmlSuccess) {
    return;
  }
  gpu.nvlink_sent = bytes_of(fields[0]);
  gpu.nvlink_received = bytes_of(fields[1]);
}

std::optional<GpuReading> read_gpu(const NvmlApi& api, unsigned index) {
  GpuReading gpu;
  gpu.index = static_cast<int>(index);
  NvmlDevice device = nullptr;
  if (api.device == nullptr || api.device(index, &device) != kNvmlSuccess) return std::nullopt;
  if (read_memory(api, device, gpu.memory) != kNvmlSuccess) return std::nullopt;
  std::array<char, kNvmlTextSize> name{};
  if (api.name != nullptr && api.name(device, name.data(), kNvmlTextSize) == kNvmlSuccess) {
    gpu.name = name.data();
  }
  NvmlUtilization utilization{};
  if (api.utilization != nullptr && api.utilization(device, &utilization) == kNvmlSuccess) {
    gpu.utilisation = utilization.gpu;
  }
  unsigned int degrees = 0;
  if (api.temperature != nullptr &&
      api.temperature(device, kNvmlGpuSensor, &degrees) == kNvmlSuccess) {
    gpu.temperature = degrees;
  }
  read_nvlink(api, device, gpu);
  return gpu;
}

}  // namespace

std::vector<GpuReading> read_gpus(const Nvml& nvml) {
  std::vector<GpuReading> gpus;
  unsigned int count = 0;
  if (nvml.api().count(&count) != kNvmlSuccess) return gpus;
  for (unsigned int index = 0; index < count; ++index) {
    if (auto gpu = read_gpu(nvml.api(), index)) gpus.push_back(*std::move(gpu));
  }
  return gpus;
}

// What the thread and its owner share; the last of them takes it along.
struct GpuWatch::Desk {
  void run(const std::string& library) {
    {
      const auto nvml = Nvml::open(library);
      while (nvml && !is_over()) {
        std::vector<GpuReading> read = read_gpus(*nvml);
        std::unique_lock lock(mutex);
        latest = std::move(read);
        changed.wait_for(lock, kEvery, [this] { return over; });
      }
    }
    const std::lock_guard lock(mutex);
    ended = true;
    changed.notify_all();
  }
  bool is_over() {
    const std::lock_guard lock(mutex);
    return over;
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<GpuReading> latest;  // these under `mutex`
  bool over = false;
  bool ended = false;
};

GpuWatch::GpuWatch(std::string library) : desk_(std::make_shared<Desk>()) {
  try {
    std::thread([desk = desk_, library = std::move(library)] { desk->run(library); }).detach();
  } catch (const std::system_error&) {  // no room for a thread: then there is nothing to tell
    desk_->ended = true;
  }
}

GpuWatch::~GpuWatch() {
  std::unique_lock lock(desk_->mutex);
  desk_->over = true;
  desk_->changed.notify_all();
  desk_->changed.wait_for(lock, kPatience, [this] { return desk_->ended; });
}

std::vector<GpuReading> GpuWatch::latest() const {
  const std::lock_guard lock(desk_->mutex);
  return desk_->latest;
}

}  // namespace batchproxy
