// tests/launcher/gpus/fake_nvml.cc - stands in for libnvidia-ml.so.1. FAKE_NVML says what the box
// has: the text itself, or the path of a file with it, whose `used=` may change while it is asked.
// Memory is in MiB; `_` in a name is a blank.
//
//   driver 580.95.05
//   cuda 13000
//   gpus 8 name=NVIDIA_H100 total=81559 capability=90   this many, alike
//   gpu 3 used=61234 util=97 temp=64 uuid=GPU-x         what is different with GPU 3
//   gpu 3 sent=100 received=200                         KiB over its NVLinks, if it has any
//   process 3 pid=4711 used=61000                       `used=?` where the driver does not tell
//   switched 18                                         each GPU has so many links to switches
//   link 0 1 4                                          GPUs 0 and 1 have four links to each other
//   numa 4                                              GPUs of one node; the others are SYS away
//   level 0 1 10                                        the common ancestor of 0 and 1
//   mig 2 uuid=MIG-x name=MIG_1g.10gb total=9728        an instance in GPU 2
//   lost 5
//   init 9                                              what nvmlInit returns
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "launcher/gpus/nvml_api.h"

namespace batchproxy {

struct NvmlHandle {
  int index = 0;
  std::string uuid, name, pci;
  unsigned long long total = 0, used = 0;
  unsigned util = 0, temp = 30, capability = 0;
  unsigned long long nvlink_sent = 0, nvlink_received = 0;  // KiB
  bool lost = false;
  std::vector<NvmlProcess> processes{};
  std::vector<std::string> links{};  // PCI address of the other end
  std::deque<NvmlHandle> mig{};
};

namespace {

struct Box {
  std::string driver = "580.95.05";
  int cuda = 13000, init = 0, numa = 64;
  std::deque<NvmlHandle> gpus;
  bool switched = false;
  std::map<std::pair<int, int>, int> levels;
};
Box box;               // as it was when it was opened: handles of it are out, and threads read it
int opened = 0;        // how often, without having been closed
std::mutex box_mutex;  // on both, while it is opened

using Fields = std::map<std::string, std::string>;

Fields fields_of(std::istringstream& line) {
  Fields fields;
  for (std::string word; line >> word;) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) continue;
    std::string value = word.substr(equals + 1);
    std::replace(value.begin(), value.end(), '_', ' ');
    fields[word.substr(0, equals)] = value;
  }
  return fields;
}

void set(NvmlHandle& gpu, const Fields& fields) {
  const auto number = [&](const char* name, auto& into) {
    const auto found = fields.find(name);
    if (found != fields.end()) {
      into = static_cast<std::remove_reference_t<decltype(into)>>(std::stoull(found->second));
    }
  };
  const auto text = [&](const char* name, std::string& into) {
    if (const auto found = fields.find(name); found != fields.end()) into = found->second;
  };
  number("total", gpu.total);
  number("used", gpu.used);
  number("util", gpu.util);
  number("temp", gpu.temp);
  number("capability", gpu.capability);
  number("sent", gpu.nvlink_sent);
  number("received", gpu.nvlink_received);
  text("uuid", gpu.uuid);
  text("name", gpu.name);
  text("pci", gpu.pci);
}

NvmlHandle numbered(int index) {
  NvmlHandle gpu;
  gpu.index = index;
  char text[64];
  std::snprintf(text, sizeof text, "GPU-%08x-0000-0000-0000-000000000000", 0xa0b0c0 + index);
  gpu.uuid = text;
  std::snprintf(text, sizeof text, "00000000:%02X:00.0", 0x10 + index);
  gpu.pci = text;
  return gpu;
}

void read_line(Box& box, const std::string& text) {
  std::istringstream line(text);
  std::string word;
  int first = 0;
  int second = 0;
  if (!(line >> word)) return;
  if (word == "driver") {
    line >> box.driver;
  } else if (word == "cuda") {
    line >> box.cuda;
  } else if (word == "init") {
    line >> box.init;
  } else if (word == "numa") {
    line >> box.numa;
  } else if (word == "gpus") {
    line >> first;
    const Fields fields = fields_of(line);
    for (int index = 0; index < first; ++index) {
      box.gpus.push_back(numbered(index));
      set(box.gpus.back(), fields);
    }
  } else if (word == "switched") {
    line >> first;
    box.switched = true;
    for (NvmlHandle& gpu : box.gpus) {
      for (int link = 0; link < first; ++link) gpu.links.push_back("00000000:F0:00.0");
    }
  } else if (line >> first; word == "gpu") {
    set(box.gpus.at(static_cast<std::size_t>(first)), fields_of(line));
  } else if (word == "lost") {
    box.gpus.at(static_cast<std::size_t>(first)).lost = true;
  } else if (word == "process") {
    const Fields fields = fields_of(line);
    const std::string& used = fields.at("used");
    box.gpus.at(static_cast<std::size_t>(first))
        .processes.push_back({static_cast<unsigned>(std::stoul(fields.at("pid"))),
                              used == "?" ? kNvmlUnknown : std::stoull(used) << 20, 0, 0});
  } else if (word == "mig") {
    NvmlHandle& mig = box.gpus.at(static_cast<std::size_t>(first)).mig.emplace_back();
    set(mig, fields_of(line));
  } else if (word == "link") {
    int count = 0;
    line >> second >> count;
    NvmlHandle& one = box.gpus.at(static_cast<std::size_t>(first));
    NvmlHandle& other = box.gpus.at(static_cast<std::size_t>(second));
    for (int link = 0; link < count; ++link) {
      one.links.push_back(other.pci);
      other.links.push_back(one.pci);
    }
  } else if (word == "level") {
    int level = 0;
    line >> second >> level;
    box.levels[{first, second}] = box.levels[{second, first}] = level;
  }
}

// What the box says now.
Box read_box() {
  const char* said = std::getenv("FAKE_NVML");
  std::string text = said == nullptr ? "" : said;
  if (text.starts_with('/')) {
    std::ifstream file(text);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::istringstream lines(text);
  Box now;
  for (std::string line; std::getline(lines, line);) read_line(now, line.substr(0, line.find('#')));
  return now;
}

// Its file may have changed since the box was opened.
unsigned long long used_now(const NvmlHandle& gpu) {
  const auto index = static_cast<std::size_t>(gpu.index);
  const bool is_whole = index < box.gpus.size() && &box.gpus[index] == &gpu;
  if (!is_whole) return gpu.used;
  const Box now = read_box();
  return index < now.gpus.size() ? now.gpus[index].used : gpu.used;
}

int copy(const std::string& text, char* into, unsigned int size) {
  std::snprintf(into, size, "%s", text.c_str());
  return kNvmlSuccess;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  const std::lock_guard lock(box_mutex);
  if (opened == 0) box = read_box();  // others have handles of it
  if (box.init == kNvmlSuccess) ++opened;
  return box.init;
}
int nvmlShutdown() {
  const std::lock_guard lock(box_mutex);
  --opened;
  return kNvmlSuccess;
}
const char* nvmlErrorString(int code) {
  switch (code) {
    case kNvmlDriverNotLoaded:
      return "Driver Not Loaded";
    case kNvmlVersionMismatch:
      return "Driver/library version mismatch";
    case kNvmlGpuIsLost:
      return "GPU is lost";
    default:
      return "Unknown Error";
  }
}
int nvmlSystemGetDriverVersion(char* text, unsigned int size) {
  return copy(box.driver, text, size);
}
int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  *version = box.cuda;
  return kNvmlSuccess;
}
int nvmlDeviceGetCount_v2(unsigned int* count) {
  const std::lock_guard lock(box_mutex);
  *count = static_cast<unsigned int>(box.gpus.size());
  return kNvmlSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, NvmlDevice* device) {
  const std::lock_guard lock(box_mutex);
  if (index >= box.gpus.size()) return kNvmlNotFound;
  *device = &box.gpus[index];
  return kNvmlSuccess;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, NvmlDevice* device) {
  const std::lock_guard lock(box_mutex);
  for (NvmlHandle& gpu : box.gpus) {
    if (gpu.uuid == uuid) *device = &gpu;
    for (NvmlHandle& mig : gpu.mig) {
      if (mig.uuid == uuid) *device = &mig;
    }
  }
  return *device == nullptr ? kNvmlNotFound : kNvmlSuccess;
}
int nvmlDeviceGetUUID(NvmlDevice gpu, char* text, unsigned int size) {
  return copy(gpu->uuid, text, size);
}
int nvmlDeviceGetName(NvmlDevice gpu, char* text, unsigned int size) {
  return copy(gpu->name, text, size);
}
int nvmlDeviceGetMemoryInfo(NvmlDevice gpu, NvmlMemory* memory) {
  if (gpu->lost) return kNvmlGpuIsLost;
  const unsigned long long used = used_now(*gpu);
  *memory = {gpu->total << 20, (gpu->total - used) << 20, used << 20};
  return kNvmlSuccess;
}
int nvmlDeviceGetUtilizationRates(NvmlDevice gpu, NvmlUtilization* utilization) {
  *utilization = {gpu->util, 0};
  return kNvmlSuccess;
}
int nvmlDeviceGetTemperature(NvmlDevice gpu, int, unsigned int* degrees) {
  *degrees = gpu->temp;
  return kNvmlSuccess;
}
int nvmlDeviceGetFieldValues(NvmlDevice gpu, int count, NvmlFieldValue* values) {
  for (NvmlFieldValue* value = values; value != values + count; ++value) {
    const bool is_known = !gpu->links.empty() && value->scope == kNvmlAllLinks;
    value->code = is_known ? kNvmlSuccess : kNvmlNotSupported;
    value->value = value->field == kNvmlNvlinkSent ? gpu->nvlink_sent : gpu->nvlink_received;
  }
  return kNvmlSuccess;
}
int nvmlDeviceGetCudaComputeCapability(NvmlDevice gpu, int* major, int* minor) {
  if (gpu->capability == 0) return kNvmlNotSupported;
  *major = static_cast<int>(gpu->capability / 10);
  *minor = static_cast<int>(gpu->capability % 10);
  return kNvmlSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v3(NvmlDevice gpu, unsigned int* count,
                                            NvmlProcess* into) {
  const bool fits = gpu->processes.size() <= *count;
  *count = static_cast<unsigned int>(gpu->processes.size());
  if (!fits) return kNvmlTooSmall;
  std::copy(gpu->processes.begin(), gpu->processes.end(), into);
  return kNvmlSuccess;
}
int nvmlDeviceGetPciInfo_v3(NvmlDevice gpu, NvmlPci* pci) {
  return copy(gpu->pci, pci->bus_id, sizeof pci->bus_id);
}
int nvmlDeviceGetNvLinkState(NvmlDevice gpu, unsigned int link, int* is_on) {
  if (gpu->links.empty()) return kNvmlNotSupported;
  *is_on = link < gpu->links.size() ? 1 : 0;
  return kNvmlSuccess;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(NvmlDevice gpu, unsigned int link, NvmlPci* pci) {
  return copy(gpu->links.at(link), pci->bus_id, sizeof pci->bus_id);
}
int nvmlDeviceGetP2PStatus(NvmlDevice, NvmlDevice, int, int* status) {
  *status = box.switched ? 0 : 1;
  return kNvmlSuccess;
}
int nvmlDeviceGetTopologyCommonAncestor(NvmlDevice one, NvmlDevice other, int* level) {
  const auto told = box.levels.find({one->index, other->index});
  const bool same_node = one->index / box.numa == other->index / box.numa;
  *level = told != box.levels.end() ? told->second : same_node ? 40 : 50;
  return kNvmlSuccess;
}
int nvmlDeviceGetMigMode(NvmlDevice gpu, unsigned int* current, unsigned int* pending) {
  *current = *pending = gpu->mig.empty() ? 0 : 1;
  return kNvmlSuccess;
}
int nvmlDeviceGetMaxMigDeviceCount(NvmlDevice, unsigned int* count) {
  *count = 7;
  return kNvmlSuccess;
}
int nvmlDeviceGetMigDeviceHandleByIndex(NvmlDevice gpu, unsigned int index, NvmlDevice* device) {
  if (index >= gpu->mig.size()) return kNvmlNotFound;
  *device = &gpu->mig[index];
  return kNvmlSuccess;
}

}  // extern "C"
}  // namespace batchproxy
