// launcher/gpus/inventory_reader.cc - one GPU after the other; what an old driver lacks stays
// empty.
#include "launcher/gpus/inventory_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "launcher/gpus/device_memory.h"

namespace batchproxy {
namespace {

// A GPU while it is read: its values, and the driver's name for it.
struct Reading {
  GpuState state;
  NvmlDevice device = nullptr;  // null when the driver has none to give
};

// NVML's levels of nvmlDeviceGetTopologyCommonAncestor.
GpuPath path_of_level(int level) {
  if (level <= 10) return GpuPath::kPix;
  if (level <= 20) return GpuPath::kPxb;
  if (level <= 30) return GpuPath::kPhb;
  return level <= 40 ? GpuPath::kNode : GpuPath::kSys;
}

class Reader {
 public:
  Reader(const Nvml& nvml, const ProcessName& name_of)
      : nvml_(nvml), api_(nvml.api()), name_of_(name_of) {}

  OrError<Inventory> read() {
    unsigned int count = 0;
    if (const int code = api_.count(&count); code != kNvmlSuccess) {
      return LaunchError{"the NVIDIA driver does not count its GPUs: " + nvml_.text_of(code)};
    }
    read_versions();
    for (unsigned int index = 0; index < count; ++index) {
      readings_.push_back(read_gpu(static_cast<int>(index)));
    }
    name_link_ends();
    read_topology();
    for (Reading& reading : readings_) inventory_.gpus.push_back(std::move(reading.state));
    return std::move(inventory_);
  }

 private:
  template <class... Parameters, class... Given>
  static bool ask(int (*function)(Parameters...), Given... given) {
    return function != nullptr && function(given...) == kNvmlSuccess;
  }

  static std::string text_from(int (*function)(NvmlDevice, char*, unsigned int),
                               NvmlDevice device) {
    std::array<char, kNvmlTextSize> text{};
    return ask(function, device, text.data(), kNvmlTextSize) ? text.data() : "";
  }

  void read_versions() {
    std::array<char, kNvmlTextSize> text{};
    if (ask(api_.driver_version, text.data(), kNvmlTextSize)) inventory_.driver = text.data();
    int cuda = 0;
    if (ask(api_.cuda_version, &cuda)) inventory_.cuda = cuda;
  }

  Reading read_gpu(int index) {
    Reading reading;
    GpuState& gpu = reading.state;
    gpu.index = index;
    int code = api_.device == nullptr
                   ? kNvmlNotSupported
                   : api_.device(static_cast<unsigned int>(index), &reading.device);
    // A lost GPU may still have a handle: its memory is the first thing that fails.
    if (code == kNvmlSuccess) code = read_memory(api_, reading.device, gpu.memory);
    if (code != kNvmlSuccess && code != kNvmlNotSupported) {
      gpu.problem = problem_text(index, code);
      reading.device = nullptr;
      return reading;
    }
    gpu.uuid = text_from(api_.uuid, reading.device);
    gpu.name = text_from(api_.name, reading.device);
    NvmlPci pci{};
    if (ask(api_.pci, reading.device, &pci)) gpu.pci = pci.bus_id;
    read_figures(reading.device, gpu);
    gpu.processes = read_processes(api_, reading.device, name_of_);
    read_links(reading.device, gpu);
    read_mig(reading.device, gpu);
    return reading;
  }

  std::string problem_text(int index, int code) const {
    const std::string name = "GPU " + std::to_string(index);
    if (code == kNvmlGpuIsLost) {
      return name + " is lost: it has fallen off the bus; reboot, and look at `dmesg` for Xid";
    }
    return name + " does not answer: " + nvml_.text_of(code);
  }

  void read_figures(NvmlDevice device, GpuState& gpu) const {
    NvmlUtilization utilization{};
    if (ask(api_.utilization, device, &utilization)) gpu.utilisation = utilization.gpu;
    unsigned int degrees = 0;
    if (ask(api_.temperature, device, kNvmlGpuSensor, &degrees)) gpu.temperature = degrees;
    int major = 0;
    int minor = 0;
    if (ask(api_.capability, device, &major, &minor)) gpu.capability = 10 * major + minor;
  }

  void read_links(NvmlDevice device, GpuState& gpu) const {
    for (unsigned int link = 0; link < kNvmlMostLinks; ++link) {
      int is_on = 0;
      if (!ask(api_.link_state, device, link, &is_on) || is_on == 0) continue;
      NvmlPci remote{};
      const bool is_told = ask(api_.link_remote, device, link, &remote);
      gpu.links.push_back({link, is_told ? remote.bus_id : "", -1});
    }
  }

  void read_mig(NvmlDevice device, GpuState& gpu) const {
    unsigned int current = 0;
    unsigned int pending = 0;
    unsigned int most = 0;
    if (!ask(api_.mig_mode, device, &current, &pending) || current == 0) return;
    gpu.mig_enabled = true;
    if (!ask(api_.mig_most, device, &most)) return;
    for (unsigned int index = 0; index < most; ++index) {
      NvmlDevice instance = nullptr;
      if (!ask(api_.mig_device, device, index, &instance)) continue;  // numbers have holes
      MigInstance mig{text_from(api_.uuid, instance), text_from(api_.name, instance), {}};
      read_memory(api_, instance, mig.memory);
      gpu.mig.push_back(std::move(mig));
    }
  }

  void name_link_ends() {
    for (Reading& reading : readings_) {
      for (NvLink& link : reading.state.links) {
        const auto peer = std::ranges::find_if(readings_, [&](const Reading& other) {
          return !other.state.pci.empty() && other.state.pci == link.remote;
        });
        if (peer != readings_.end()) link.peer = peer->state.index;
      }
    }
  }

  void read_topology() {
    for (const Reading& from : readings_) {
      auto& row = inventory_.topology.emplace_back();
      for (const Reading& to : readings_) row.push_back(connection(from, to));
    }
  }

  GpuConnection connection(const Reading& from, const Reading& to) const {
    if (&from == &to) return {GpuPath::kSelf, 0};
    if (from.device == nullptr || to.device == nullptr) return {};
    const auto& links = from.state.links;
    const auto direct = std::ranges::count(links, to.state.index, &NvLink::peer);
    if (direct > 0) return {GpuPath::kNvlink, static_cast<int>(direct)};
    // Over switches every link leads to every GPU, and the other end is none of ours.
    int status = -1;
    const auto switched = std::ranges::count(links, -1, &NvLink::peer);
    if (switched > 0 && ask(api_.p2p_status, from.device, to.device, kNvmlP2pByNvlink, &status) &&
        status == 0) {
      return {GpuPath::kNvlink, static_cast<int>(switched)};
    }
    int level = 0;
    if (!ask(api_.common_ancestor, from.device, to.device, &level)) return {};
    return {path_of_level(level), 0};
  }

  const Nvml& nvml_;
  const NvmlApi& api_;
  const ProcessName& name_of_;
  std::vector<Reading> readings_;
  Inventory inventory_;
};

}  // namespace

OrError<Inventory> read_inventory(const ProcessName& name_of, const std::string& library) {
  const auto nvml = Nvml::open(library);
  if (!nvml) return nvml.error();
  return read_inventory(name_of, *nvml);
}

OrError<Inventory> read_inventory(const ProcessName& name_of, const Nvml& nvml) {
  return Reader(nvml, name_of).read();
}

}  // namespace batchproxy
