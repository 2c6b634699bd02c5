// launcher/supervision/gpu_gate.cc - see gpu_gate.h.
#include "launcher/supervision/gpu_gate.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace batchproxy {

namespace {
constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr std::uint64_t kSlack = std::uint64_t{512} << 20;  // others' comings and goings
}  // namespace

std::optional<std::string> GpuGate::why_wait(std::optional<std::uint64_t> free, Duration waited) {
  if (!free) return std::nullopt;
  const bool is_back = *free + kSlack >= most_free_;
  if (!closed_ || is_back || waited >= kPatience) {
    // What is missing after all that time is somebody else's by now.
    most_free_ = is_back && closed_ ? std::max(most_free_, *free) : *free;
    closed_ = false;
    return std::nullopt;
  }
  return fmt::format("waiting for GPU memory: {:.1f} of {:.1f} GiB are free again",
                     static_cast<double>(*free) / kGiB, static_cast<double>(most_free_) / kGiB);
}

}  // namespace batchproxy
