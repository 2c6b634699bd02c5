// launcher/memory/model/memory_size.h - amounts of memory: bytes in the code, GiB in texts.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

inline constexpr std::int64_t kGiB = std::int64_t{1} << 30;

constexpr double to_gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / static_cast<double>(kGiB);
}

// Rounds down: memory that is counted twice is not there.
constexpr std::int64_t from_gib(double gib) {
  return static_cast<std::int64_t>(gib * static_cast<double>(kGiB));
}

// "58.11GiB", "24 GB", "80g", "512MiB", "1.5T", or a number of bytes. k, M, G and T, and the same
// with B, count by 1000 where they are small letters or end in a plain B; with iB, or as a single
// capital, by 1024, as vLLM counts. Nothing for anything else, and for what no machine has.
std::optional<std::int64_t> parse_memory_size(std::string_view text);

// "4.85 GiB"
std::string gib_text(std::int64_t bytes);

// "32,768"
std::string grouped(std::int64_t number);

}  // namespace batchproxy
