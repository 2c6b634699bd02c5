// launcher/process/lease.h - what one batchproxy of this machine has, and no other: a port, a GPU.
//
// Threading: confined to one thread.
#pragma once

#include <optional>
#include <string>

#include "backends/net/descriptor.h"
#include "launcher/gpus/gpu.h"

namespace batchproxy {

// Holds an abstract unix socket of that name; the kernel frees it when we die. Every batchproxy of
// this machine (and network namespace) respects it.
class Lease {
 public:
  // Nothing when anybody holds it, or, as good as never, when there is no socket to be had.
  static std::optional<Lease> take(const std::string& name);

  // For a child that is to hold it as well: it lasts until both are gone.
  int descriptor() const { return socket_.get(); }

 private:
  explicit Lease(Descriptor socket) : socket_(std::move(socket)) {}

  Descriptor socket_;
};

// By which a batchproxy has a GPU.
inline std::string lease_name(const Gpu& gpu) {
  return "gpu-" + gpu.name();
}

}  // namespace batchproxy
