// launcher/installation/vllm_installation.h - which vLLM a program belongs to, read from the files
// that Python's installers leave: nothing is imported or run, since that takes many seconds.
//
// Threading: any thread; reads some hundred small files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/vllm/version.h"
#include "launcher/base/machine.h"
#include "launcher/base/result.h"

namespace batchproxy {

// A package that adds to vLLM, by its entry points.
struct VllmPlugin {
  std::string name;   // of the package
  std::string group;  // "vllm.general_plugins", "vllm.platform_plugins"
};

struct VllmInstallation {
  std::string program;        // absolute path
  std::string site_packages;  // the folder that it was found in; empty when it was asked
  Version version{};
  std::string version_text;  // "0.33.0+cu130"
  std::string torch;         // the same of PyTorch; empty when it is not there
  std::string transformers;
  std::optional<Version> cuda;  // that PyTorch is built for; none for a CPU build, or when unknown
  std::vector<VllmPlugin> plugins;
};

// Of the program `name`, sought on PATH or by its path. The error is one sentence.
OrError<VllmInstallation> find_installation(const Machine& machine, const std::string& name);

// The same; where no package is found beside a program that is there, such as a wrapper around a
// container, it is asked for its version, which may take it 20 s.
OrError<VllmInstallation> ask_installation(const Machine& machine, const std::string& name);

}  // namespace batchproxy
