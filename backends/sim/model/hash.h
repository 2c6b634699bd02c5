// backends/sim/model/hash.h - hashing whose results are the same on every machine and in every
// process, which std::hash does not promise.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <string_view>

namespace batchproxy::sim {

inline constexpr std::uint64_t kHashStart = 0xCBF29CE484222325u;

// Folds `value` into `hash` (the mixing steps are SplitMix64's).
constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) + 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
  return hash ^ hash >> 31;
}

constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = mix(kHashStart, text.size());
  for (const char c : text) hash = mix(hash, static_cast<unsigned char>(c));
  return hash;
}

// Uniform in [0, 1).
constexpr double unit_interval(std::uint64_t hash) {
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

}  // namespace batchproxy::sim
