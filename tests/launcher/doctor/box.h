// tests/launcher/doctor/box.h - a machine that is a folder of the test's.
//
// Threading: confined to the test.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "launcher/base/machine.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {

class Box {
 public:
  Box() {
    machine.root = folder_.file("");
    machine.environment = {{"PATH", "/venv/bin:/usr/bin"}, {"HOME", "/home/me"}};
    machine.working_directory = "/home/me";
    machine.space_at = [](const std::filesystem::path&) {
      return DiskSpace{std::uint64_t{1} << 40, std::uint64_t{1} << 39};
    };
    machine.descriptors = [] { return DescriptorLimit{1024, 1 << 20}; };
    machine.is_port_free = [](int) { return true; };
  }

  void file(const std::string& path, const std::string& text = "x") const {
    const auto real = machine.at(path);
    std::filesystem::create_directories(real.parent_path());
    std::ofstream(real, std::ios::binary) << text;
  }
  void folder(const std::string& path) const {
    std::filesystem::create_directories(machine.at(path));
  }
  void program(const std::string& path, const std::string& text) const {
    file(path, text);
    std::filesystem::permissions(machine.at(path), std::filesystem::perms::owner_all);
  }
  void package(const std::string& entry, const std::string& entry_points = "") const {
    const std::string home = "/venv/lib/python3.12/site-packages/" + entry + ".dist-info";
    file(home + "/METADATA", "Metadata-Version: 2.4\n");
    if (!entry_points.empty()) file(home + "/entry_points.txt", entry_points);
  }
  // A vLLM 0.33 for CUDA 13 in a virtual environment.
  void install_vllm(const std::string& version = "0.33.0") const {
    program("/venv/bin/vllm", "#!/venv/bin/python3\nimport sys\n");
    package("vllm-" + version, "[console_scripts]\nvllm = x\n\n[vllm.general_plugins]\nlora = y\n");
    package("torch-2.14.0");
    package("transformers-5.1.0");
    package("nvidia_cuda_runtime-13.0.96");
  }

  Machine machine;

 private:
  TemporaryDirectory folder_;
};

}  // namespace batchproxy
