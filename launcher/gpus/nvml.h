// launcher/gpus/nvml.h - NVIDIA's management library, loaded while the program runs: batchproxy
// must start on machines that have no driver.
//
// Threading: one thread at a time; opening may take the driver a second or more.
#pragma once

#include <memory>
#include <string>

#include "launcher/base/result.h"
#include "launcher/gpus/nvml_api.h"

namespace batchproxy {

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

// An open library whose driver has answered. Closed when the last copy goes.
class Nvml {
 public:
  // `library` is a name for dlopen or a path. The error is one sentence: no library, a library that
  // is none, or a driver that does not answer, and what to do.
  static OrError<Nvml> open(const std::string& library);

  const NvmlApi& api() const { return *api_; }

  // "GPU is lost (15)": a code in NVML's own words.
  std::string text_of(int code) const;

 private:
  explicit Nvml(std::shared_ptr<const NvmlApi> api) : api_(std::move(api)) {}

  std::shared_ptr<const NvmlApi> api_;
};

}  // namespace batchproxy
