// configs/vllm/version.h - a version of vLLM, and of what else is counted in numbers with dots.
//
// Threading: any thread; plain values.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

struct Version {
  int major = 0;
  int minor = 0;
  int patch = 0;

  friend auto operator<=>(const Version&, const Version&) = default;
};

// The newest vLLM that was looked at; taken where an engine's is not known.
inline constexpr Version kNewestKnown{0, 33, 0};

// The numbers that `text` begins with: "0.33.0rc1", "v0.8.5.post1", "2.9.0+cu128", "580.95.05".
// Nothing without a first number and a dot. A release candidate counts as its release.
std::optional<Version> parse_version(std::string_view text);

// "0.33.0"
std::string to_string(const Version& version);

}  // namespace batchproxy
