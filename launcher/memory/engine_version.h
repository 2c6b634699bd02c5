// launcher/memory/engine_version.h - a vLLM version, and what changed between versions that counts
// for memory.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <charconv>
#include <compare>
#include <optional>
#include <string_view>

namespace batchproxy {

struct EngineVersion {
  int major = 0;
  int minor = 33;  // where the version is not known, the newest that was looked at

  friend auto operator<=>(const EngineVersion&, const EngineVersion&) = default;
};

// "0.33.0", "v0.19.1rc2": the first two numbers; nothing for other texts.
inline std::optional<EngineVersion> parse_engine_version(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  EngineVersion version;
  const char* const last = text.data() + text.size();
  const auto major = std::from_chars(text.data(), last, version.major);
  if (major.ec != std::errc() || major.ptr == last || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, last, version.minor);
  if (minor.ec != std::errc() || version.major < 0 || version.minor < 0) return std::nullopt;
  return version;
}

// From this version on, vLLM ...
inline constexpr EngineVersion kReservesABlock{0, 33};       // keeps one block for itself
inline constexpr EngineVersion kTokensOfConcurrency{0, 25};  // prints concurrency x length
inline constexpr EngineVersion kTwoBatchesInFlight{0, 25};   // keeps two batches in a window
inline constexpr EngineVersion kSubtractsGraphs{0, 21};      // takes the graphs off the cache
inline constexpr EngineVersion kUses92Percent{0, 20};        // --gpu-memory-utilization 0.92
inline constexpr EngineVersion kLargerGroupRule{0, 12};      // pads groups up to 1.5 times
inline constexpr EngineVersion kSmallSampler{0, 17};         // profiles the sampler with less
inline constexpr EngineVersion kCountsNcclBefore{0, 25};     // NCCL is up before it measures
inline constexpr EngineVersion kLargerOverhead{0, 18};       // counts more memory of CUDA libraries

}  // namespace batchproxy
