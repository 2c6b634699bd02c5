// launcher/agent/node_gpus.h - which GPUs of its node an engine gets that was sent there.
//
// Threading: confined to one thread; may ask the driver.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "configs/sources/environment.h"
#include "launcher/base/result.h"
#include "launcher/gpus/gpu.h"
#include "launcher/gpus/nvml.h"
#include "launcher/process/lease.h"

namespace batchproxy {

struct NodeGpus {
  // What the engine's environment says of them; empty: nothing is to be changed.
  std::string devices{};
  // By which other agents of this node are kept off them; they last as long as the engine.
  std::vector<Lease> leases{};
};

// Whoever brought us here has chosen them if a variable such as CUDA_VISIBLE_DEVICES names `count`
// of them. Of more, or where none does, the first that nobody of ours has are taken. `visible`: all
// that there are to choose from, in order.
OrError<NodeGpus> choose_node_gpus(std::size_t count, const Environment& environment,
                                   const std::function<OrError<Gpus>()>& visible);

// As the driver and the variables tell. `library`: as of find_gpus().
OrError<Gpus> visible_gpus(const Environment& environment,
                           const std::string& library = kNvmlLibrary);

}  // namespace batchproxy
