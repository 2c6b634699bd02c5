// launcher/doctor/subject.h - what the doctor looks at: all that is asked from the driver and read
// about the installation is in here before the first check runs.
//
// Threading: plain values; checks only read them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/engine_wish.h"
#include "configs/schema/options.h"
#include "launcher/base/machine.h"
#include "launcher/base/result.h"
#include "launcher/gpus/inventory.h"
#include "launcher/gpus/visible_devices.h"
#include "launcher/installation/vllm_installation.h"
#include "launcher/memory/learned/learned.h"
#include "launcher/outlook/outlook.h"

namespace batchproxy {

struct Subject {
  Machine machine;
  Options options;          // the defaults where no configuration was given
  bool configured = false;  // whether there was one
  OrError<Inventory> inventory;
  OrError<VllmInstallation> vllm;
  Learned learned{};                 // what earlier starts have told of their memory
  std::string model_path{};          // --validate-model; empty when not given
  std::optional<Outlook> outlook{};  // of launcher.placement, where that is not `local`

  // What follows from these; filled by examine().
  OurGpus ours{};
  std::vector<EngineWish> wishes{};  // the engines that would be started
  std::string model_folder{};        // on this machine; empty when there is none

  // Whether engines are started here at all, and whether vLLM is what they are.
  bool starts_engines() const;
  bool starts_vllm() const;
  bool uses_gpus() const;
  // Whether the engines of other nodes do.
  bool needs_gpus_elsewhere() const;
  // The GPUs of each of `wishes`, as the launcher gives them out; without a configuration all in
  // one.
  std::vector<Gpus> groups() const;
  // GPUs of the largest engine.
  std::size_t largest_group() const;
};

}  // namespace batchproxy
