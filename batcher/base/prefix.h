// batcher/base/prefix.h - PrefixChain: what a prompt begins with, as a few hashes.
//
// The prompt's raw JSON bytes are cut at fixed positions, and each cut gets a hash of all bytes
// before it: two prompts that begin alike have equal hashes up to the last cut before they differ.
// Cuts lie 256 bytes apart at first, then an eighth of their position apart, so that a prompt of
// any length has only a handful between its half and its end. Only those are kept: a shared
// beginning that covers less than half of a prompt, such as a system prompt alone, does not count.
//
// Threading: values, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace batchproxy {

class PrefixChain {
 public:
  PrefixChain() = default;

  // The chain of a prompt. `seed` keeps apart what must never match, such as two models.
  PrefixChain(std::string_view prompt, std::uint64_t seed);

  // From the shortest beginning to the longest; empty for short prompts.
  std::span<const std::uint64_t> hashes() const { return {hashes_.data(), count_}; }
  bool empty() const { return count_ == 0; }

 private:
  static constexpr std::size_t kMaxCuts = 8;
  std::array<std::uint64_t, kMaxCuts> hashes_{};
  std::uint8_t count_ = 0;
};

}  // namespace batchproxy
